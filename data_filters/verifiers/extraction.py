"""Where in a text the final answer stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from data_filters.formats import CLOSING_TAG


class AnswerForm(StrEnum):
    """How a final answer was announced, from the surest form to the least sure."""

    BOXED = "boxed"
    HASH = "hash"
    PHRASE = "phrase"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True)
class Extraction:
    """A final answer and the form that it was found in."""

    answer: str
    form: AnswerForm


_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASH = re.compile(r"^[ \t]*####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_PHRASE = re.compile(
    r"(?:\banswer\b\**\s*(?:is|are|:|=)|^[ \t]*A:)[ \t:]*\**[ \t]*(\S[^\n]*)", re.IGNORECASE | re.MULTILINE
)
_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\*\*")
_NUMBER = re.compile(r"-?\$?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?%?")


def text_after_thought(text: str) -> str:
    """The part of a generated text after its last closing tag; the whole text when there is none."""
    return text.rpartition(CLOSING_TAG)[2]


def boxed_answers(text: str) -> list[str]:
    """The contents of each `\\boxed{...}` with balanced braces, in order; an unclosed box is none."""
    found: list[str] = []
    position = 0
    while opening := _BOX.search(text, position):
        end = _closing_brace(text, opening.end())
        if end is None:
            # No later box can be closed either, except inside this one; go on behind its brace.
            position = opening.end()
            if "}" not in text[position:]:
                break
            continue
        found.append(text[opening.end() : end])
        position = end + 1
    return found


def hash_answers(text: str) -> list[str]:
    """The answers of each line `#### answer`, in order."""
    return _HASH.findall(text)


def phrase_answers(text: str) -> list[str]:
    """What follows each phrase "answer is" and line start "A:", up to the end of the sentence, in order."""
    return [answer for match in _PHRASE.findall(text) if (answer := _SENTENCE_END.split(match, 1)[0].strip())]


def announced_answer(text: str) -> Extraction | None:
    """The last answer that `text` announces in words or form; None when it announces none."""
    for form, find in (
        (AnswerForm.BOXED, boxed_answers),
        (AnswerForm.HASH, hash_answers),
        (AnswerForm.PHRASE, phrase_answers),
    ):
        found = [answer for answer in find(text) if answer.strip()]
        if found:
            return Extraction(found[-1].strip(), form)
    return None


def extract_answer(text: str) -> Extraction | None:
    """The final answer of `text`: the last announced one, else its last number, else None."""
    announced = announced_answer(text)
    if announced is not None:
        return announced
    numbers = _NUMBER.findall(text)
    return Extraction(numbers[-1], AnswerForm.LAST_NUMBER) if numbers else None


def _closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before `start`; None when nothing does."""
    depth = 1
    for position in range(start, len(text)):
        character = text[position]
        if text[position - 1] == "\\" and character in "{}":
            continue
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
    return None
