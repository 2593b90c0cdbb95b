"""Answers as people write them, normalised, and read as exact numbers where they are plain numbers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from data_filters.verifiers.math.units import SYMBOLS, Unit, read_unit

SIGNIFICANT_DIGITS = 6
"""A decimal with at least so many significant digits may stand for an exact value that it rounds to."""

_ARGUMENT = r"(?:\{([^{}]*)\}|(\\[A-Za-z]+|\w))"
"""What a command of LaTeX takes: a group in braces, or one letter, digit or command."""


def _compiled(*pairs: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


_LATEX = _compiled(
    (r"\\(?:left|right|displaystyle|textstyle|limits|bigl?|bigr|Bigl?|Bigr)(?![A-Za-z])", ""),
    (r"(?<!\\)\\[!,;:> ]|\\q?quad(?![A-Za-z])", " "),
    (r"\\[dtc]frac", r"\\frac"),
    (
        r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}",
        r" \1 ",
    ),
    (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])", "\u00b0"),
    (r"\\(?:cdot|times|ast)(?![A-Za-z])", "*"),
    (r"\\div(?![A-Za-z])", "/"),
    (r"\\([%$#&])", r"\1"),
    (r"\\lbrace(?![A-Za-z])", r"\\{"),
    (r"\\rbrace(?![A-Za-z])", r"\\}"),
    (r"\\l(?:eq?|eqslant)(?![A-Za-z])", "\u2264"),
    (r"\\g(?:eq?|eqslant)(?![A-Za-z])", "\u2265"),
    (r"\\neq?(?![A-Za-z])", "\u2260"),
    (r"\\lt(?![A-Za-z])", "<"),
    (r"\\gt(?![A-Za-z])", ">"),
    (r"\\sqrt\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"\\sqrt\s*(\d|\\[A-Za-z]+)(?!\d)", r"\\sqrt{\1}"),
    (rf"\\frac\s*{_ARGUMENT}\s*{_ARGUMENT}", r"\\frac{\1\2}{\3\4}"),
)
_ANY_NOTATION = _compiled(
    (r"\{,\}", ","),
    (r"(?<![A-Za-z\\])sqrt\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"\{\s+", "{"),
    (r"(?<=\S)\s+\}", "}"),
    (r"\*\*(?=\S)([^*]+)\*\*", r"\1"),
)
_UNICODE = _compiled(
    ("[\u2010-\u2015\u2212]", "-"),
    ("[\u00d7\u00b7\u22c5\u2219]", "*"),
    ("\u00f7", "/"),
    ("\u03c0", r"\\pi "),
    ("\u221e", r"\\infty "),
    ("\u221a\\s*(\\d+)", r"\\sqrt{\1}"),
    ("\u221a\\s*\\(([^()]*)\\)", r"\\sqrt{\1}"),
    ("\u222a", r"\\cup "),
    ("\u2208", r"\\in "),
    ("\u00b1", r"\\pm "),
    ("\u2248", r"\\approx "),
)
_RAISED = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
_RAISED_RUN = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
_ONE_CHARACTER_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_OUTER = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_BOX = re.compile(r"^\\(?:boxed|fbox)\s*\{(.*)\}$", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_FREE_BLANK = re.compile(r"(?<!\d) | (?!\d)")

_WHOLE = r"(?:\d{1,3}(?:,\s?\d{3})+|\d+)"
_PLAIN = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?P<money>[$\u20ac\u00a3])?\s*(?P<inner>-?)
    (?:(?:(?P<mixed>\d+)\s*)?\\frac\s*\{{\s*(?P<top>-?\d+)\s*\}}\s*\{{\s*(?P<bottom>\d+)\s*\}}
      |(?:(?P<whole>\d+)\s+)?(?P<numerator>{_WHOLE})\s*/\s*(?P<denominator>{_WHOLE})
      |(?P<number>{_WHOLE}?(?:\.\d*)?)
       (?:\s*(?:\*\s*10\s*\^\s*(?:\{{\s*(?P<power>[-+]?\d{{1,3}})\s*\}}|\(?(?P<bare>[-+]?\d{{1,3}})\)?)
            |[eE](?P<exponent>[-+]?\d{{1,3}})(?![A-Za-z\d])))?
    )\s*(?P<percent>%|percent\b)?\s*(?P<unit>\u00b0|[A-Za-z\u00a2\u20ac][A-Za-z ./^\d{{}}-]*)?$""",
    re.VERBOSE,
)
_SIMPLE = re.compile(r"\s*\$?\s*([-+]?)\$?(\d{1,3}(?:,\d{3})+|\d{1,18})(?:\.(0*))?\$?\.?\s*$")
_NO_UNIT = frozenset(["sqrt", "sin", "cos", "tan", "log", "pi", "and", "or", "not", "mod"])
_VOWEL = re.compile(r"[aeiou]")
_DIGIT = re.compile(r"\d")
_MAX_CHARACTERS = 1000


class NumberRule(StrEnum):
    """By which rule two plain numbers are the same answer."""

    NUMERIC = "numeric"
    PERCENT = "percent"
    ROUNDED = "rounded"
    UNIT = "unit"


@dataclass(frozen=True, slots=True)
class PlainNumber:
    """A number as it was written: its exact value, and what stood around it."""

    value: Fraction
    decimals: int = 0
    percent: bool = False
    unit: str = ""
    digits: int = 0
    """Significant digits, where it is written as a decimal."""


def normalise(text: str) -> str:
    """One spelling for the many ways to typeset the same answer; the mathematics stays as it is."""
    text = _without_unicode(text) if not text.isascii() else text
    text = _strip_wrapping(text.strip())
    if "\\" in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    for pattern, replacement in _ANY_NOTATION:
        text = pattern.sub(replacement, text)
    text = _BLANKS.sub(" ", text.replace("~", " ")).strip().rstrip(".,;:").strip()
    return _strip_wrapping(text.removeprefix("\\approx").removeprefix("=").strip())


def without_blanks(text: str) -> str:
    """`text` without blanks, except between two digits, where they may tell numbers apart."""
    return _FREE_BLANK.sub("", text) if " " in text else text


def simple_whole(text: str) -> int | None:
    """The value of a plain whole number such as `1,234` or `$12.00`, in no time; None for anything else."""
    found = _SIMPLE.match(text)
    if found is None:
        return None
    value = int(found[2].replace(",", ""))
    return -value if found[1] == "-" else value


def read_number(text: str) -> PlainNumber | None:
    """Read a normalised text as one plain number, with or without currency, percent sign or unit.

    Returns None for anything else: expressions, several numbers, variables, texts beyond 1,000 characters.
    """
    if len(text) > _MAX_CHARACTERS:
        return None
    found = _PLAIN.match(text)
    if found is None or found["number"] in ("", "."):
        return None
    unit = (found["unit"] or "").strip()
    if unit and not is_unit(unit, text[: len(text.rstrip()) - len(unit)]):
        return None
    value = _value(found)
    if value is None:
        return None
    if (found["sign"] == "-") != (found["inner"] == "-"):
        value = -value
    written = found["number"] or ""
    decimals = len(written.partition(".")[2])
    digits = len(written.replace(",", "").replace(".", "").replace(" ", "").lstrip("0"))
    return PlainNumber(value, decimals, bool(found["percent"]), unit or found["money"] or "", digits)


def agreement(expected: PlainNumber, given: PlainNumber) -> NumberRule | None:
    """The rule by which two plain numbers are the same answer; None where they are not.

    Units: one may be left off; two known ones are converted, and must measure the same; words that are no
    unit of measure are not compared. Percent: a sign on one side only is read either way (40 and 40 %, 0.4
    and 40 %). Rounding: see `is_rounding_of`.
    """
    first, second = _units_of(expected, given)
    if first is not None and second is not None and first != second:
        if first.dimension != second.dimension:
            return None
        same = _rule(expected.value * first.size, given.value * second.size, expected, given)
        return NumberRule.UNIT if same is not None else None
    rule = _rule(expected.value, given.value, expected, given)
    if rule is not None and (first is None) != (second is None):
        return NumberRule.UNIT
    if rule is not None or given.percent == expected.percent:
        return rule
    scaled = given.value / 100 if given.percent else given.value * 100
    return NumberRule.PERCENT if _rule(expected.value, scaled, expected, given) is not None else None


def numbers_agree(expected: PlainNumber, given: PlainNumber) -> bool:
    """Whether two plain numbers are the same answer, by any rule of `agreement`."""
    return agreement(expected, given) is not None


def is_rounding_of(decimal: Fraction, decimals: int, digits: int, exact: Fraction) -> bool:
    """Whether a decimal of six or more significant digits is another value, rounded or cut off.

    A value that could be written exactly with these decimals is never rounded to them.
    """
    if not decimals or digits < SIGNIFICANT_DIGITS:
        return False
    unit = Fraction(1, 10**decimals)
    return abs(decimal - exact) < unit and (exact / unit).denominator != 1


def is_unit(words: str, before: str) -> bool:
    """Whether `words` behind a number or formula are a unit and not variables, as the t of 4t."""
    if _DIGIT.search(words.replace("^2", "").replace("^3", "").replace("{2}", "").replace("{3}", "")):
        return False
    first, *others = (word.rstrip(".") for word in words.split())
    if any(len(word) > 3 for word in others):
        return True
    if len(first) == 1 and first.isascii():
        return before.endswith(" ") and (first in SYMBOLS or read_unit(words) is not None or " " in words)
    if first.lower() in _NO_UNIT:
        return False
    # Three letters may be three variables, but hardly with a vowel inside.
    is_short_word = len(first) == 3 and before.endswith(" ") and bool(_VOWEL.search(first, 1))
    return read_unit(words) is not None or len(first) > 3 or is_short_word


def _units_of(expected: PlainNumber, given: PlainNumber) -> tuple[Unit | None, Unit | None]:
    if not expected.unit and not given.unit:
        return None, None
    return read_unit(expected.unit), read_unit(given.unit)


def _rule(first: Fraction, second: Fraction, expected: PlainNumber, given: PlainNumber) -> NumberRule | None:
    """Compare two values that were worked out of numbers as they were written."""
    if first == second:
        return NumberRule.PERCENT if expected.percent != given.percent else NumberRule.NUMERIC
    if is_rounding_of(second, given.decimals, given.digits, first) or is_rounding_of(
        first, expected.decimals, expected.digits, second
    ):
        return NumberRule.ROUNDED
    return None


def _without_unicode(text: str) -> str:
    """Raised digits, signs and letters of other widths as plain text."""
    text = _ONE_CHARACTER_FRACTION.sub(_spelled_fraction, text)
    text = _RAISED_RUN.sub(lambda run: "^{" + run[0].translate(_RAISED) + "}", text)
    for pattern, replacement in _UNICODE:
        text = pattern.sub(replacement, text)
    return unicodedata.normalize("NFKC", text)


def _spelled_fraction(found: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", found[0]).partition("\u2044")
    return rf"\frac{{{top}}}{{{bottom}}}" if top and bottom else found[0]


def _strip_wrapping(text: str) -> str:
    """Take off dollar signs, brackets of inline LaTeX and a box around the whole text."""
    if text[:1] not in ("$", "\\"):
        return text
    for opening, closing in _OUTER:
        wrapped = (
            len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing)
        )
        if wrapped and opening not in text[len(opening) : -len(closing)]:
            text = text[len(opening) : -len(closing)].strip()
    box = _BOX.match(text)
    return box[1].strip() if box and "\\boxed" not in box[1] else text


def _value(found: re.Match[str]) -> Fraction | None:
    """The absolute value of a match of _PLAIN; None for a division by zero."""
    top = found["top"] or found["numerator"]
    bottom = found["bottom"] or found["denominator"]
    if top is not None and bottom is not None:
        divisor = _whole(bottom)
        added = int(found["mixed"] or found["whole"] or 0)
        if divisor == 0 or (added and not 0 < _whole(top) < divisor):
            return None
        return added + Fraction(_whole(top), divisor)
    digits = found["number"].replace(",", "").replace(" ", "")
    whole, _, decimals = digits.partition(".")
    value = Fraction(int(whole or 0)) + (Fraction(int(decimals), 10 ** len(decimals)) if decimals else 0)
    power = found["power"] or found["bare"] or found["exponent"]
    return value * Fraction(10) ** int(power) if power else value


def _whole(digits: str) -> int:
    return int(digits.replace(",", "").replace(" ", ""))
