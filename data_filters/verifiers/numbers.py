"""Answers as people write them, normalised, and read as exact numbers where they are plain numbers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_ARGUMENT = r"(?:\{([^{}]*)\}|(\\[A-Za-z]+|\w))"
"""What a command of LaTeX takes: a group in braces, or one letter, digit or command."""
_REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\{,\}", ","),
        (r"\\(?:left|right|displaystyle|limits)(?![A-Za-z])", ""),
        (r"\\[!,;:> ]|~|\\quad|\\qquad", " "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|°", ""),
        (r"\\cdot(?![A-Za-z])|\\times(?![A-Za-z])|\u00d7|\u00b7", "*"),
        (r"\\div(?![A-Za-z])|\u00f7", "/"),
        (r"[\u2010-\u2015\u2212]", "-"),
        (r"\\([%$#&])", r"\1"),
        (r"(?<![A-Za-z\\])sqrt\(([^()]*)\)|\\sqrt\(([^()]*)\)", r"\\sqrt{\1\2}"),
        (r"\{\s+", "{"),
        (r"\s+\}", "}"),
        (r"\\sqrt\s*(\d|\\[A-Za-z]+)", r"\\sqrt{\1}"),
        (rf"\\frac\s*{_ARGUMENT}\s*{_ARGUMENT}", r"\\frac{\1\2}{\3\4}"),
        (r"\*\*(?=\S)([^*]+)\*\*", r"\1"),
    )
)
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_BOX = re.compile(r"^\\(?:boxed|fbox)\s*\{(.*)\}$", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_FREE_BLANK = re.compile(r"(?<!\d) | (?!\d)")

_WHOLE = r"(?:\d{1,3}(?:,\s?\d{3})+|\d+)"
_PLAIN = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?P<money>[$€£])?\s*
    (?:(?:(?P<mixed>\d+)\s*)?\\frac\s*\{{\s*(?P<top>-?\d+)\s*\}}\s*\{{\s*(?P<bottom>\d+)\s*\}}
      |(?P<numerator>{_WHOLE})\s*/\s*(?P<denominator>{_WHOLE})
      |(?P<number>{_WHOLE}?(?:\.\d*)?)
       (?:\s*(?:\*\s*10\s*\^\s*\{{?\s*(?P<power>[-+]?\d{{1,3}})\s*\}}?
            |[eE](?P<exponent>[-+]?\d{{1,3}})(?![A-Za-z\d])))?
    )\s*(?P<percent>%|percent\b)?\s*(?P<unit>[A-Za-z][A-Za-z ./^\d²³-]*)?$""",
    re.VERBOSE,
)
_UNIT_OF_DIGITS = re.compile(r"\d")


@dataclass(frozen=True)
class PlainNumber:
    """A number as it was written: its exact value, and what stood around it."""

    value: Fraction
    decimals: int = 0
    percent: bool = False
    unit: str = ""


def normalise(text: str) -> str:
    """One spelling for the many ways to typeset the same answer; the mathematics stays as it is."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = _strip_wrapping(text)
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    text = _BLANKS.sub(" ", text).strip().rstrip(".,;:").strip()
    return _strip_wrapping(text)


def without_blanks(text: str) -> str:
    """`text` without blanks, except between two digits, where they may tell numbers apart."""
    return _FREE_BLANK.sub("", text)


def read_number(text: str) -> PlainNumber | None:
    """Read a normalised text as one plain number, with or without currency, percent sign or unit.

    Returns None for anything else: expressions, several numbers, variables.
    """
    found = _PLAIN.match(text)
    if found is None or found["number"] in ("", "."):
        return None
    unit = (found["unit"] or "").strip()
    if unit and not _is_unit(unit, text):
        return None
    value = _value(found)
    if value is None:
        return None
    decimals = len((found["number"] or "").partition(".")[2])
    return PlainNumber(
        -value if found["sign"] == "-" else value, decimals, bool(found["percent"]), _singular(unit)
    )


def numbers_agree(expected: PlainNumber, given: PlainNumber) -> bool:
    """Whether two plain numbers are the same answer.

    A percent sign on one side only is read either way (40 and 40 %, 0.4 and 40 %). A decimal of six or more
    places may be the rounding of an expected value that has more. Two different units are two different
    answers.
    """
    if expected.unit and given.unit and expected.unit != given.unit:
        return False
    candidates = [given.value]
    if given.percent != expected.percent:
        candidates += [given.value / 100] if given.percent else [given.value * 100]
    return any(_same_value(expected.value, value, given.decimals) for value in candidates)


def _same_value(expected: Fraction, given: Fraction, decimals: int) -> bool:
    if expected == given:
        return True
    return decimals >= 6 and round(expected, decimals) == given


def _strip_wrapping(text: str) -> str:
    """Take off dollar signs, brackets of inline LaTeX and a box around the whole text."""
    for opening, closing in _OUTER:
        inner = text[len(opening) : -len(closing)]
        wrapped = (
            len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing)
        )
        if wrapped and opening not in inner:
            text = inner.strip()
    box = _BOX.match(text)
    return box[1].strip() if box else text


def _value(found: re.Match[str]) -> Fraction | None:
    """The absolute value of a match of _PLAIN; None for a division by zero."""
    top = found["top"] or found["numerator"]
    bottom = found["bottom"] or found["denominator"]
    if top is not None and bottom is not None:
        divisor = _whole(bottom)
        return None if divisor == 0 else int(found["mixed"] or 0) + Fraction(_whole(top), divisor)
    digits = found["number"].replace(",", "").replace(" ", "")
    whole, _, decimals = digits.partition(".")
    value = Fraction(int(whole or 0)) + (Fraction(int(decimals), 10 ** len(decimals)) if decimals else 0)
    return value * Fraction(10) ** int(found["power"] or found["exponent"] or 0)


def _whole(digits: str) -> int:
    return int(digits.replace(",", "").replace(" ", ""))


def _is_unit(unit: str, text: str) -> bool:
    """Words after a number are its unit; one letter straight after a digit is a variable, as in 4t."""
    if _UNIT_OF_DIGITS.search(unit.replace("^2", "").replace("^3", "")):
        return False
    before = text[: len(text) - len(unit)]
    return before.endswith((" ", "%")) or len(unit.split()[0]) > 1


def _singular(unit: str) -> str:
    word = unit.lower().rstrip(". ")
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
