"""Whether an answer has the form that it was asked in: a named one, or one that a pattern describes."""

from __future__ import annotations

import re

import msgspec

from data_filters.samples import AnswerFormatTask, Check, Outcome
from data_filters.verifiers.extraction import boxed_answers, hash_answers
from data_filters.verifiers.json_schema import json_text

NAMED_FORMATS = ("boxed", "hash", "json")


def check(task: AnswerFormatTask, content: str, name: str = "task") -> Check:
    """Judge the text after the thought against the task's named format or pattern.

    Verified with `format_kept`; refuted with `format_broken`, or `format_repeated` where one is asked and
    more are there; failed with `format_not_usable` when the task names no known format or its pattern does
    not compile.
    """
    if task.pattern is not None:
        return _check_pattern(task.pattern, content, name)
    return check_named(task.format or "", content, name)


def check_named(form: str, content: str, name: str = "answer_form") -> Check:
    """Judge a text against one of NAMED_FORMATS; outcomes as in `check`."""
    if form == "json":
        return _check_json(content, name)
    finders = {"boxed": boxed_answers, "hash": hash_answers}
    if form not in finders:
        known = ", ".join(NAMED_FORMATS)
        return Check(name, Outcome.FAILED, "format_not_usable", f"format {form!r} is none of {known}")
    found = [answer for answer in finders[form](content) if answer.strip()]
    if not found:
        return Check(name, Outcome.REFUTED, "format_broken", f"no {form} answer in the text")
    if len(found) > 1:
        return Check(name, Outcome.REFUTED, "format_repeated", f"{len(found)} {form} answers in the text")
    return Check(name, Outcome.VERIFIED, "format_kept")


def _check_pattern(pattern: str, content: str, name: str) -> Check:
    try:
        found = re.search(pattern, content)
    except re.error as error:
        return Check(
            name, Outcome.FAILED, "format_not_usable", f"pattern {pattern!r} does not compile: {error}"
        )
    if found is None:
        return Check(name, Outcome.REFUTED, "format_broken", f"the text does not match {pattern!r}")
    return Check(name, Outcome.VERIFIED, "format_kept")


def _check_json(content: str, name: str) -> Check:
    try:
        msgspec.json.decode(json_text(content))
    except (msgspec.DecodeError, RecursionError) as error:
        return Check(name, Outcome.REFUTED, "format_broken", f"the text is not JSON: {error}")
    return Check(name, Outcome.VERIFIED, "format_kept")
