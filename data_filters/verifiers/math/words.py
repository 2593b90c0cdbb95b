"""Answers in words: texts, choices, ratios and times of day; and the units that stand behind formulas."""

from __future__ import annotations

import re
from enum import StrEnum

from data_filters.verifiers.math.numbers import is_unit
from data_filters.verifiers.math.units import read_unit


class Wording(StrEnum):
    """How two answers in words compare."""

    SAME_TEXT = "same_text"
    SAME_CHOICE = "same_choice"
    SAME_RATIO = "same_ratio"
    DIFFERENT = "different"


_LETTERS = re.compile(r"\(?[A-Za-z][A-Za-z '.-]*\)?$")
_WORD = re.compile(r"[A-Za-z]+")
_JOINTS = frozenset(("and", "or"))
_MATH_WORDS = frozenset(["sqrt", "infty", "infinity", "frac", "theta", "alpha", "beta", "gamma"])
_CHOICE = re.compile(r"\(?([A-Za-z])[).]?$")
_LABEL = re.compile(r"(?:\(\s*([A-J])\s*\)|([A-J])\s*[).:])\s*(?=[^\s)])")
_RATIO = re.compile(r"(\d+(?:\s*:\s*\d+)+)\s*([ap])?[ .]*(?:m\b)?[ .]*$", re.IGNORECASE)
_COUNTS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_COUNTS)}
_NONE = "no solution"
_SYNONYMS = {
    "no solutions": _NONE,
    "none": _NONE,
    "empty set": _NONE,
    "the empty set": _NONE,
    "\\emptyset": _NONE,
    "\\varnothing": _NONE,
    "\\{\\}": _NONE,
    "no real solution": _NONE,
    "no real solutions": _NONE,
    "dne": "does not exist",
    "all reals": "all real numbers",
    "all real number": "all real numbers",
}
_MEANT_AS_FORMULAS = frozenset(("all real numbers",))
_MONEY = frozenset("$\u20ac\u00a3")
_LAST_WORDS = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z]{2,}(?:[ ./-]+[A-Za-z]+)*+\.?(?:\s*\^\s*\{?[23]\}?)?"
    r"|(?<=[\d)}]\s)[mgshl](?:\^\{?[23]\}?)?)$"
)


def compare_words(gold: str, given: str) -> Wording | None:
    """Compare two normalised texts where one of them is in words; None where they are formulas."""
    first, second = _RATIO.match(gold), _RATIO.match(given)
    if first is not None or second is not None:
        return _compare_ratios(first, second)
    chosen = _CHOICE.match(gold)
    if chosen is not None and (answered := _CHOICE.match(given)) is not None:
        bracketed = len(gold) > 1 or len(given) > 1
        same = chosen[1].upper() == answered[1].upper() if bracketed else chosen[1] == answered[1]
        return Wording.SAME_CHOICE if same else Wording.DIFFERENT
    gold_words, given_words = _meaning(gold), _meaning(given)
    if gold_words == given_words and (_LETTERS.match(gold) or gold_words == _NONE) and len(gold_words) > 1:
        return Wording.SAME_TEXT if not _is_product(gold, given) else None
    if _NUMBER_WORDS.get(gold_words) == given or _NUMBER_WORDS.get(given_words) == gold:
        return Wording.SAME_TEXT
    if {gold_words, given_words} & _MEANT_AS_FORMULAS:
        return None
    return Wording.DIFFERENT if _is_wordy(gold) or _is_wordy(given) else None


def compare_labels(gold: str, given: str) -> Wording | tuple[str, str] | None:
    """Compare choices that are given with their text, as in `A) 5`, `(A) 5`.

    Returns the two texts that are left to compare where a label stands on one side of two values only, and None where
    neither side has a label.
    """
    first, second = _LABEL.match(gold), _LABEL.match(given)
    if first is None and second is None:
        return None
    labels = [found[1] or found[2] if found else None for found in (first, second)]
    bare = [
        _CHOICE.match(text) if found is None else None for text, found in ((gold, first), (given, second))
    ]
    letters = [
        label or (letter[1].upper() if letter else None) for label, letter in zip(labels, bare, strict=True)
    ]
    if letters[0] is not None and letters[1] is not None:
        return Wording.SAME_CHOICE if letters[0] == letters[1] else Wording.DIFFERENT
    return (gold[first.end() :] if first else gold), (given[second.end() :] if second else given)


def split_unit(text: str) -> tuple[str, str]:
    """A formula and the unit behind it; the unit is "" where none is."""
    if text.endswith("\u00b0") and "\\" not in text.replace("\\frac", "").replace("\\sqrt", ""):
        return text[:-1].rstrip(), "\u00b0"
    if text[:1] in _MONEY:
        return text[1:].lstrip(), text[0]
    found = _LAST_WORDS.search(text)
    if found is None or found.start() == 0:
        return text, ""
    before = text[: found.start()]
    if before.rstrip()[-1] in "+-*/^_=<>,;&" or not is_unit(found[1], before):
        return text, ""
    return before.rstrip(), found[1]


def units_agree(gold: str, given: str) -> bool:
    """Whether two units may stand for the same: one is left off or no measure, or both are the same measure."""
    first, second = read_unit(gold), read_unit(given)
    return first is None or second is None or first == second


def _compare_ratios(first: re.Match[str] | None, second: re.Match[str] | None) -> Wording:
    if first is None or second is None:
        return Wording.DIFFERENT
    values = [[int(part) for part in found[1].split(":")] for found in (first, second)]
    halves = [(found[2] or "").lower() for found in (first, second)]
    same_half = not halves[0] or not halves[1] or halves[0] == halves[1]
    return Wording.SAME_RATIO if values[0] == values[1] and same_half else Wording.DIFFERENT


def _meaning(text: str) -> str:
    """Words without case, brackets and dots, and one wording for the many ways to say the same."""
    plain = " ".join(text.strip("()").lower().replace(".", " ").split())
    return _SYNONYMS.get(plain, plain)


def _is_product(gold: str, given: str) -> bool:
    """Whether two short runs of letters that differ in case are rather variables, as in `ab` and `AB`."""
    return len(gold) == 2 and gold.lower() != "no" and gold != given


def _is_wordy(text: str) -> bool:
    """Whether a text is words and not a product of variables or a formula."""
    if not _LETTERS.match(text):
        return False
    words = _WORD.findall(text)
    if any(word in _JOINTS or word in _MATH_WORDS for word in words):
        return False
    return any(len(word) > 4 or (len(word) > 1 and word.isupper()) for word in words) or (
        len(words) > 1 and any(len(word) > 2 for word in words)
    )
