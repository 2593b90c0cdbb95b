"""IFEval's instructions, with its ids and its meaning: each is a question put to the text of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from data_filters.samples import Check, Constraint, InstructionsTask, Outcome

CHECK_NAME = "task"

_WORD = re.compile(r"\w+")
_BULLET = re.compile(r"^\s*(?:\*[^*].*|-.*)$", re.MULTILINE)
_TITLE = re.compile(r"<<[^\n]+>>")
_JSON_FENCES = ("```json", "```Json", "```JSON", "```")


class NotUsableError(Exception):
    """An instruction that cannot be checked: `reason` is a stable slug, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check(task: InstructionsTask, content: str) -> Check:
    """Judge the text after the thought against every constraint.

    Verified with `instructions_kept`; refuted with `instruction_broken:<id>` for the first broken one; failed
    with `instruction_unknown_id` or `instruction_bad_arguments`.
    """
    if not task.constraints:
        return Check(CHECK_NAME, Outcome.FAILED, "instruction_bad_arguments", "the task has no constraint")
    try:
        kept = [(constraint, keeps(constraint, content)) for constraint in task.constraints]
    except NotUsableError as error:
        return Check(CHECK_NAME, Outcome.FAILED, error.reason, str(error))
    broken = next((constraint for constraint, is_kept in kept if not is_kept), None)
    if broken is None:
        return Check(CHECK_NAME, Outcome.VERIFIED, "instructions_kept")
    detail = f"arguments {broken.kwargs}" if broken.kwargs else ""
    return Check(CHECK_NAME, Outcome.REFUTED, f"instruction_broken:{broken.id}", detail)


def keeps(constraint: Constraint, text: str) -> bool:
    """Whether a text keeps one constraint; an empty text keeps none. Raises NotUsableError."""
    question = _INSTRUCTIONS.get(constraint.id)
    if question is None:
        known = ", ".join(sorted(_INSTRUCTIONS))
        raise NotUsableError("instruction_unknown_id", f"{constraint.id!r} is none of: {known}")
    try:
        return bool(text.strip()) and question(text, constraint.kwargs)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUsableError(
            "instruction_bad_arguments", f"{constraint.id} with {constraint.kwargs}: {error!r}"
        ) from error


def _number_words(text: str, arguments: dict[str, Any]) -> bool:
    count = len(_WORD.findall(text))
    if arguments["relation"] == "at least":
        return count >= int(arguments["num_words"])
    if arguments["relation"] == "less than":
        return count < int(arguments["num_words"])
    raise NotUsableError(
        "instruction_bad_arguments",
        f"relation {arguments['relation']!r} is neither 'at least' nor 'less than'",
    )


def _lowercase(text: str, arguments: dict[str, Any]) -> bool:
    return text.islower()


def _capital(text: str, arguments: dict[str, Any]) -> bool:
    return text.isupper()


def _no_comma(text: str, arguments: dict[str, Any]) -> bool:
    return "," not in text


def _end_checker(text: str, arguments: dict[str, Any]) -> bool:
    ending = text.strip().strip('"').lower()
    return ending.endswith(arguments["end_phrase"].strip().lower())


def _quotation(text: str, arguments: dict[str, Any]) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == '"' and text[-1] == '"'


def _existence(text: str, arguments: dict[str, Any]) -> bool:
    return all(_finds(word, text) for word in _words_of(arguments["keywords"]))


def _forbidden_words(text: str, arguments: dict[str, Any]) -> bool:
    # Whole words only, unlike the words that must occur.
    return not any(_finds(rf"\b{word}\b", text) for word in _words_of(arguments["forbidden_words"]))


def _finds(pattern: str, text: str) -> bool:
    """Search as IFEval does, with the word as a pattern; a word that is no pattern is taken literally."""
    try:
        return re.search(pattern, text, flags=re.IGNORECASE) is not None
    except re.error:
        return pattern.replace(r"\b", "").lower() in text.lower()


def _words_of(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"a list of words is needed, not {value!r}")
    return value


def _bullet_lists(text: str, arguments: dict[str, Any]) -> bool:
    return len(_BULLET.findall(text)) == int(arguments["num_bullets"])


def _json_format(text: str, arguments: dict[str, Any]) -> bool:
    body = text.strip()
    for fence in _JSON_FENCES:
        body = body.removeprefix(fence)
    try:
        json.loads(body.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, arguments: dict[str, Any]) -> bool:
    return any(title.strip("<>").strip() for title in _TITLE.findall(text))


_INSTRUCTIONS: dict[str, Callable[[str, dict[str, Any]], bool]] = {
    "length_constraints:number_words": _number_words,
    "change_case:english_lowercase": _lowercase,
    "change_case:english_capital": _capital,
    "punctuation:no_comma": _no_comma,
    "startend:end_checker": _end_checker,
    "startend:quotation": _quotation,
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden_words,
    "detectable_format:number_bullet_lists": _bullet_lists,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
}

KNOWN_IDS = frozenset(_INSTRUCTIONS)
"""The ids that `check` knows."""
