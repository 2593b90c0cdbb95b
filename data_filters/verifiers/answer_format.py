"""Whether an answer has the form that it was asked in, exactly once: a named form, or one that a pattern describes.

Patterns are searched with RE2, in time linear in the text: it has no look-around and no back-references, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import Any

from data_filters.samples import TASK, AnswerFormatTask, Check, Outcome
from data_filters.verifiers.extraction import boxed_answers, hash_answers
from data_filters.verifiers.json_schema import JsonError, json_blocks, json_text, read_json

_OPENING_TAG = "<answer>"
_CLOSING_TAG = "</answer>"
_CHOICE = r"(?:\\(?:text|textbf|mathrm)\{\s*\(?([A-J])\)?\s*\}|\(?([A-J])\)?)"
_WHOLE_CHOICE = re.compile(rf"[*$\s]*{_CHOICE}[*$\s.:]*")
_SAID_CHOICE = re.compile(
    rf"\b(?:answer|choice|option)\b\**(?:[ \t]+(?:is|was))?:?[ \t]*[*$]*{_CHOICE}(?![A-Za-z0-9'])",
    re.IGNORECASE,
)
_PATTERN_MEMORY_BYTES = 16 << 20


def check(task: AnswerFormatTask, content: str, name: str = TASK) -> Check:
    """Judge the text after the thought against the task's named format or pattern.

    Verified with `format_kept`; refuted with `format_broken`, or `format_repeated` where one is asked and
    more are there; failed with `format_not_usable` when the task names no known format or its pattern does
    not compile, and `format_too_deep` for JSON nested beyond what is judged.
    """
    if task.pattern is not None:
        return _check_pattern(task.pattern, content, name)
    return check_named(task.format or "", content, name)


def check_named(form: str, content: str, name: str = "answer_form") -> Check:
    """Judge a text against one of NAMED_FORMATS; outcomes as in `check`."""
    if form in _JSON_FORMS:
        return _check_json(form, content, name)
    if form not in _FINDERS:
        known = ", ".join(NAMED_FORMATS)
        return Check(name, Outcome.FAILED, "format_not_usable", f"format {form!r} is none of {known}")
    found = [answer for answer in _FINDERS[form](content) if answer.strip()]
    return _counted(len(found), f"{form} answer", name)


def tagged_answers(content: str) -> list[str]:
    """The insides of each `<answer>...</answer>`, in order; an opening tag inside another starts anew."""
    found: list[str] = []
    for part in content.split(_CLOSING_TAG)[:-1]:
        _, opening, inside = part.rpartition(_OPENING_TAG)
        if opening:
            found.append(inside)
    return found


def choice_answers(content: str) -> list[str]:
    """The letters A to J that a text gives as its answer: in boxes, else as the whole text, else in words."""
    boxes = [found for box in boxed_answers(content) if (found := _WHOLE_CHOICE.fullmatch(box))]
    whole = _WHOLE_CHOICE.fullmatch(content) if len(content) < 100 else None
    matches = boxes or ([whole] if whole else list(_SAID_CHOICE.finditer(content)))
    # The words are found in either case; the letter must be a capital.
    return [letter for match in matches if (letter := match[1] or match[2]).isupper()]


_FINDERS: dict[str, Callable[[str], list[str]]] = {
    "boxed": boxed_answers,
    "hash": hash_answers,
    "answer_tags": tagged_answers,
    "choice": choice_answers,
}
_JSON_FORMS = ("json", "json_bare", "json_block")
NAMED_FORMATS = (*_FINDERS, *_JSON_FORMS)
"""Forms by name: `json` is either of the other two, `json_bare` the whole text, `json_block` its only fenced block."""


def _check_pattern(pattern: str, content: str, name: str) -> Check:
    compiled, problem = _compile(pattern)
    if compiled is None:
        return Check(name, Outcome.FAILED, "format_not_usable", f"pattern {pattern[:80]!r}: {problem}")
    # RE2 reads UTF-8, which a lone surrogate is not.
    searchable = content.encode("utf-8", "replace").decode("utf-8")
    # A pattern such as `x*` also matches nothing, everywhere; that is no second answer.
    matches = [match[0] for match in islice(compiled.finditer(searchable), 1000)]
    count = sum(map(bool, matches)) or min(len(matches), 1)
    return _counted(count, f"match of {pattern[:80]!r}", name)


@lru_cache(maxsize=256)
def _compile(pattern: str) -> tuple[Any | None, str]:
    """A pattern ready for searching, or None and what is wrong with it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY_BYTES
    try:
        return re2.compile(pattern, options), ""
    except UnicodeEncodeError:
        return None, "it is no Unicode text"
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else "it does not compile"
        return None, f"{reason} (RE2 syntax: no look-around, no back-references)"


def _check_json(form: str, content: str, name: str) -> Check:
    blocks = json_blocks(content)
    if form == "json_block" and len(blocks) != 1:
        return _counted(len(blocks), "fenced block of JSON", name)
    try:
        read_json(content.strip() if form == "json_bare" else json_text(content))
    except JsonError as error:
        if error.outcome == Outcome.REFUTED:
            return Check(name, Outcome.REFUTED, "format_broken", f"the text is not JSON: {error.detail}")
        # Well-formed as far as it was read.
        return Check(name, error.outcome, "format_too_deep", error.detail)
    return Check(name, Outcome.VERIFIED, "format_kept")


def _counted(count: int, what: str, name: str) -> Check:
    """The verdict on how often the asked form is there."""
    if count == 0:
        return Check(name, Outcome.REFUTED, "format_broken", f"no {what} in the text")
    if count > 1:
        return Check(name, Outcome.REFUTED, "format_repeated", f"{count} times a {what} in the text")
    return Check(name, Outcome.VERIFIED, "format_kept")
