"""Where in a text the final answer stands.

The surest form wins, and of one form the last. Boxes that are joined only by a comma, "and" or "or" are one answer
of several parts. Every search here takes time linear in the text, whatever it holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from data_filters.formats import CLOSING_TAG


class AnswerForm(StrEnum):
    """How a final answer was given, from the surest form to the least sure."""

    BOXED = "boxed"
    HASH = "hash"
    PHRASE = "phrase"
    BOLD = "bold"
    FORMULA = "formula"
    WHOLE_TEXT = "whole_text"
    LAST_NUMBER = "last_number"


@dataclass(frozen=True, slots=True)
class Extraction:
    """A final answer and the form that it was found in."""

    answer: str
    form: AnswerForm
    later: str | None = None
    """What is announced in another form behind a box; it may contradict the box."""
    boxes: tuple[str, ...] = ()
    """The contents of several boxes that are joined to one answer."""


# Quantifiers such as `*+` never give back what they took: no text makes these searches retry.
_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*+\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s++(\\?[^\s{}\\$.,;]++)")
_HASH = re.compile(r"^[ \t]*+####([^\n]*+)", re.MULTILINE)
_PHRASE = re.compile(
    r"(?:\banswer\b\**+\s*+(?:is\b|are\b|:|=)|^[ \t]*+A:)[ \t:]*+\**+[ \t]*+([^\s][^\n]*+)",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_CONTENT = re.compile(r"[\w\\]")
_SENTENCE_END = re.compile(r"[.;!?](?=\s|$)|\*\*")
_FORMULA_AT_START = re.compile(r"(?:\$\$?+([^$]++)\$\$?+|\\\(((?:[^\\]|\\[^)])++)\\\))")
_FORMULA_AT_END = re.compile(
    r"(?:\$([^$]++)\$|\\\(((?:[^\\]|\\[^)])++)\\\)|\\\[((?:[^\\]|\\[^\]])++)\\\])\s*+\.?\s*+$"
)
_WORDS_BEHIND = re.compile(r"\s*+(\\?%|[A-Za-z\u00b0][A-Za-z ]*+)?+[.,;!?\s]*+")
_BOLD_AT_END = re.compile(r"\*\*([^*]++)\*\*[\s.]*+$")
_BARE_ANSWER = re.compile(r"[^\sA-Za-z]|[A-Za-z](?![A-Za-z]|\s*+[A-Za-z]{2})|(?:sqrt|pi)\b|[A-Za-z]++\.?$")
_THREE_WORDS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}+\s++[A-Za-z]{2,}+\s++[A-Za-z]{2}")
_JOINT = re.compile(r"[\s,$]*+(?:and|or|,|;|\\text\{ ?(?:and|or) ?\})[\s,$]*+")
_NUMBER = re.compile(r"-?\$?\d++(?:,\d{3})*+(?:\.\d++)?(?:/\d++)?%?")
_TAIL_CHARACTERS = 400
_WHOLE_TEXT_CHARACTERS = 200


def text_after_thought(text: str) -> str:
    """The part of a generated text after its last closing tag; the whole text when there is none."""
    return text.rpartition(CLOSING_TAG)[2]


def boxed_answers(text: str) -> list[str]:
    """The contents of each outermost `\\boxed{...}` with balanced braces, in order; an unclosed box is none."""
    return [text[start:end] for _, start, end in _closed_boxes(text)]


def hash_answers(text: str) -> list[str]:
    """The answers of each line `#### answer`, in order."""
    if "####" not in text:
        return []
    return [answer for found in _HASH.findall(text) if (answer := found.strip(" \t\r"))]


def phrase_answers(text: str) -> list[str]:
    """What follows each phrase "answer is" and line start "A:", up to the end of the sentence, in order."""
    answers = (_up_to_sentence_end(found) for found in _PHRASE.findall(text))
    return [answer for answer in answers if _ANY_CONTENT.search(answer)]


def announced_answer(text: str) -> Extraction | None:
    """The last answer that `text` announces in words or form; None when it announces none."""
    if "\\boxed" in text or "\\fbox" in text:
        boxed = _last_box(text)
        if boxed is not None:
            return boxed
    hashed = hash_answers(text)
    if hashed:
        return Extraction(hashed[-1], AnswerForm.HASH)
    phrases = phrase_answers(text.rstrip().rpartition("\n")[2]) or phrase_answers(text)
    return Extraction(phrases[-1], AnswerForm.PHRASE) if phrases else None


def extract_answer(text: str) -> Extraction | None:
    """The final answer of `text`: the last announced one, else what its end or all of it is; None without any."""
    announced = announced_answer(text)
    return announced if announced is not None else unannounced_answer(text)


def unannounced_answer(text: str) -> Extraction | None:
    """What stands at the end of a text that announces nothing, or is all of it: the answer in all likelihood."""
    tail = text.rstrip()[-_TAIL_CHARACTERS:]
    bold = _BOLD_AT_END.search(tail) if "**" in tail else None
    if bold is not None:
        return Extraction(bold[1].strip(), AnswerForm.BOLD)
    formula = _FORMULA_AT_END.search(tail) if tail.rstrip(" .").endswith(("$", "\\)", "\\]")) else None
    if formula is not None:
        return Extraction((formula[1] or formula[2] or formula[3]).strip(), AnswerForm.FORMULA)
    whole = text.strip()
    if 0 < len(whole) <= _WHOLE_TEXT_CHARACTERS and "\n" not in whole and _is_bare_answer(whole):
        return Extraction(whole, AnswerForm.WHOLE_TEXT)
    numbers = _NUMBER.findall(tail.rpartition("\n")[2]) or _NUMBER.findall(text)
    return Extraction(numbers[-1], AnswerForm.LAST_NUMBER) if numbers else None


def _is_bare_answer(text: str) -> bool:
    """Whether a short text is an answer and nothing else: it starts like one and is no sentence."""
    return _BARE_ANSWER.match(text) is not None and _THREE_WORDS.search(text) is None


def _last_box(text: str) -> Extraction | None:
    """The last closed box with anything in it, joined with those right before it, and what follows it."""
    boxes = [
        (start, inner, end) for start, inner, end in _boxes_from_the_end(text) if text[inner:end].strip()
    ]
    if not boxes:
        bare = _BARE_BOX.findall(text)
        return Extraction(bare[-1], AnswerForm.BOXED) if bare else None
    start, inner, end = boxes.pop()
    answers = [text[inner:end].strip()]
    behind = text[end + 1 :]
    while boxes and boxes[-1][2] < start and _JOINT.fullmatch(text, boxes[-1][2] + 1, start):
        start, inner, end = boxes.pop()
        answers.insert(0, text[inner:end].strip())
    joined = tuple(answers) if len(set(answers)) > 1 else ()
    answer = ", ".join(joined) if joined else answers[0]
    return Extraction(answer, AnswerForm.BOXED, _announced_behind(behind), joined)


def _announced_behind(text: str) -> str | None:
    if "nswer" not in text and "####" not in text:
        return None
    found = hash_answers(text) or phrase_answers(text)
    return found[-1] if found else None


def _boxes_from_the_end(text: str) -> list[tuple[int, int, int]]:
    """All boxes that matter for the last answer; a text with one box is not read from its start."""
    last = text.rfind("\\boxed")
    if last >= 0 and text.find("\\boxed") == last and "\\fbox" not in text:
        opening = _BOX.match(text, last)
        if opening is None:
            return []
        end = _closing_brace(text, opening.end())
        return [] if end is None else [(last, opening.end(), end)]
    return _closed_boxes(text)


def _closed_boxes(text: str) -> list[tuple[int, int, int]]:
    """Each outermost box that is closed: where it starts, where its content starts and where that ends."""
    found: list[tuple[int, int, int]] = []
    open_braces: list[tuple[int, int] | None] = []
    for token in _BOX_OR_BRACE.finditer(text):
        sign = token[0]
        if sign == "{":
            open_braces.append(None)
        elif sign == "}":
            box = open_braces.pop() if open_braces else None
            if box is not None:
                while found and found[-1][0] > box[0]:
                    found.pop()
                found.append((*box, token.start()))
        elif len(sign) > 2:
            open_braces.append((token.start(), token.end()))
    return found


def _closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before `start`; None when nothing does."""
    depth = 1
    for token in _BRACE.finditer(text, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return None


def _up_to_sentence_end(text: str) -> str:
    """The answer at the start of a phrase: a formula with the words behind it, else all of the sentence."""
    formula = _FORMULA_AT_START.match(text)
    if formula is not None:
        words = _WORDS_BEHIND.match(text, formula.end())
        unit = words[1] if words is not None and words.end() == len(text) and words[1] else ""
        return f"{(formula[1] or formula[2]).strip()} {unit}".strip()
    return _SENTENCE_END.split(text, maxsplit=1)[0].strip()
