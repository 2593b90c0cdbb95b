"""Plain arithmetic in a text: which of its equations are wrong.

Only what is plain arithmetic is judged, such as `12 + 7 = 19` or `$3 x 4 = 10 + 2 = $12`. Where a unit, a word or a
variable stands between the numbers, the equation is left alone: a right thought must not be refused. Most equations
hold and are seen to by floats in a few microseconds; the others are read with what is around them, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<time>\d+:\d+)
      |(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?P<percent>\s?%)?(?P<attached>[A-Za-z_]\w*)?
      |(?P<equals>=)
      |(?P<operator>[-+*/])
      |(?P<bracket>[()])
      |(?P<word>[A-Za-z]+)
      |(?P<pause>[.,;:?](?=\s|$)|\n)
      |(?P<symbol>\S)""",
    re.VERBOSE,
)
_NOISE = re.compile(r"\\?\$|\*\*(?=[^*]*\*\*)|[€£`]|\\left|\\right|\\[,;! ]")
_TIMES_X = re.compile(r"(?<=[\d)%\s])[xX](?=[\s\d(.$])")
_OPERATORS = (
    (re.compile(r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|[\u00d7\u00b7\u2219]"), "*"),
    (re.compile(r"\\div(?![A-Za-z])|\u00f7"), "/"),
    (re.compile(r"[\u2010-\u2015\u2212]"), "-"),
    (re.compile(r"\\%"), "%"),
)
_RUN = re.compile(r"[\d.(][^A-Za-z\n:;?!]*+")
"""Where an equation may stand on a line: from a number to the next letter."""
_LONE = re.compile(r"\d++(?:\.\d++)?|\.\d++")
_CHAIN = re.compile(r"(?:\d++(?:\.\d++)?|\.\d++)(?:[-+*/](?:\d++(?:\.\d++)?|\.\d++))++")
_LINK = re.compile(r"([-+*/])(\d++(?:\.\d++)?|\.\d++)")
_FLOAT_PRECISION = 1e-12
_LONGEST_NUMBER = 40
"""Characters; longer numbers are no arithmetic that anyone did by hand."""

_UNSURE_WORDS = frozenset({
    "of", "half", "twice", "thrice", "times", "plus", "minus", "by", "than", "less", "more", "per",
    "over",
})  # fmt: skip
"""Words that make what follows only a part of an expression, as in `half of 6 + 4 = 5`."""
_NUMBERED_WORDS = frozenset({
    "day", "days", "week", "weeks", "month", "months", "year", "years", "hour", "hours", "step",
    "case", "part", "number", "round", "level", "grade", "chapter", "page", "question", "problem",
    "team", "player", "box", "class", "room", "phase", "stage", "group", "option", "row", "column",
    "line",
})  # fmt: skip
"""Words that are numbered: in `on day 1 * 2 = 20` the 1 is a name."""
_SCALES = {"cent": 100, "cents": 100, "\u00a2": 100}
"""Units that count hundredths of what stood before: $2.50 - $2.24 = 26 cents."""
_LARGE_SCALES = (("hundred", 100), ("thousand", 1000), ("million", 10**6), ("billion", 10**9))
"""Words on a line that carry zeros which an equation on it may leave out."""
_MAX_TOKENS = 60


class _Token(NamedTuple):
    kind: str
    text: str
    percent: bool = False


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of one side, and how exactly it was written."""

    value: Fraction
    decimals: int | None
    """Decimals of a lone number; None for an expression."""
    percent: bool
    text: str


def wrong_equations(text: str) -> Iterator[str]:
    """Yield each plain arithmetic equation of `text` that does not hold, as it was understood."""
    if "=" not in text:
        return
    for line in _plainly_typed(text).split("\n"):
        if "=" in line and not _holds_at_sight(line):
            yield from _wrong_on_line(line)


def _plainly_typed(text: str) -> str:
    """The text with one sign for each operation, and without the signs of money and of typesetting."""
    if "\\" in text or "**" in text or not text.isascii():
        text = _NOISE.sub("", text)
        for pattern, replacement in _OPERATORS:
            text = pattern.sub(replacement, text)
    else:
        text = text.replace("$", "").replace("`", "")
    return _TIMES_X.sub("*", text)


def _holds_at_sight(line: str) -> bool:
    """Whether all equations of a line hold as they stand, without brackets or per cent. False when in doubt."""
    for run in _RUN.findall(line):
        if "=" not in run:
            continue
        sides = run.replace(" ", "").replace(",", "").split("=")
        values = [_value_at_sight(side) for side in sides]
        for left, right in pairwise(values):
            if left is None or right is None:
                return False
            if abs(left - right) > _FLOAT_PRECISION * abs(left):
                return False
    return True


def _value_at_sight(side: str) -> float | None:
    """The value of `12`, `.5` or `3*4.5+2`; None for brackets and anything else."""
    side = side.rstrip(".")
    if len(side) > _LONGEST_NUMBER:
        return None
    if _LONE.fullmatch(side):
        return float(side)
    if not _CHAIN.fullmatch(side):
        return None
    total, product = 0.0, 0.0
    for sign, digits in _LINK.findall("+" + side):
        number = float(digits)
        if sign == "*":
            product *= number
        elif sign == "/":
            if not number:
                return None
            product /= number
        else:
            total, product = total + product, number if sign == "+" else -number
    return total + product


def _wrong_on_line(line: str) -> Iterator[str]:
    """Yield the wrong equations of a line, read with what stands around them."""
    scales = [scale for word, scale in _LARGE_SCALES if word in line]
    for run, unit in _runs(_tokens(line)):
        sides = _split_sides(run)
        for left, right in pairwise(sides):
            if left is None or right is None or (left.decimals is not None and right.decimals is not None):
                continue
            factors = [*scales, _SCALES[unit]] if unit in _SCALES else scales
            if not _holds(left, right) and not any(left.value * factor == right.value for factor in factors):
                yield f"{left.text} = {right.text}"


def _tokens(line: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(line):
        kind = found.lastgroup or "symbol"
        if found["number"]:
            # A number grown together with letters is a variable or a unit such as 5k: its value is not known.
            kind = "symbol" if found["attached"] or len(found["number"]) > _LONGEST_NUMBER else "number"
        yield _Token(
            "symbol" if kind == "time" else kind, found["number"] or found[0], bool(found["percent"])
        )


def _runs(tokens: Iterator[_Token]) -> Iterator[tuple[list[_Token], str]]:
    """Yield the runs of tokens that hold an equation, and the word behind each.

    A run starts or ends with a symbol where what stands beside it may belong to it.
    """
    before: _Token | None = None
    run: list[_Token] = []
    for token in tokens:
        if token.kind in ("number", "operator", "bracket", "equals"):
            run.append(token)
            continue
        yield from _closed_run(before, run, token)
        # `.8 + . 84`: a pause in the middle of an expression is a slip of the pen.
        slipped = token.kind == "pause" and bool(run) and run[-1].kind == "operator"
        # `14, 400 / 80`: three digits behind a comma may be the rest of a number.
        digits_before = token.text == "," and bool(run) and run[-1].kind == "number"
        before = _UNSURE if slipped else _COMMA_IN_NUMBERS if digits_before else token
        run = []
    yield from _closed_run(before, run, None)


def _closed_run(
    before: _Token | None, run: list[_Token], after: _Token | None
) -> Iterator[tuple[list[_Token], str]]:
    if not any(token.kind == "equals" for token in run) or len(run) > _MAX_TOKENS:
        return
    if after is not None and after.text == "?":
        return
    unit = after.text.lower() if after is not None else ""
    yield [_UNSURE] * _starts_unsure(before, run) + run + [_UNSURE] * _ends_unsure(after), unit


_UNSURE = _Token("symbol", "?")
_COMMA_IN_NUMBERS = _Token("pause", ", ")


def _starts_unsure(before: _Token | None, run: list[_Token]) -> bool:
    """Whether what stands before a run may be a part of its first expression."""
    if before is _COMMA_IN_NUMBERS:
        return len(run[0].text) == 3
    if before is None or before.kind == "pause":
        return False
    word = before.text.lower()
    # `Week 2 = 35 + 35`: a lone number after a word is a name.
    is_name = run[0].kind == "number" and (run[1].kind == "equals" or word in _NUMBERED_WORDS)
    sure_word = before.kind == "word" and not _is_variable(before) and word not in _UNSURE_WORDS
    return is_name or not sure_word or run[0].kind == "operator" or (word == "and" and _is_lone_fraction(run))


def _is_lone_fraction(run: list[_Token]) -> bool:
    """Whether a run starts `1 / 4 =`, which after "and" is the rest of a mixed number."""
    return [token.kind for token in run[:4]] == ["number", "operator", "number", "equals"] and run[
        1
    ].text == "/"


def _ends_unsure(after: _Token | None) -> bool:
    return after is not None and (after.kind == "symbol" or _is_variable(after))


def _is_variable(token: _Token) -> bool:
    return token.kind == "word" and len(token.text) == 1 and token.text not in "aAI"


def _split_sides(run: list[_Token]) -> list[_Value | None]:
    """The sides between the equals signs, in order; None for a side that is not understood."""
    sides: list[list[_Token]] = [[]]
    for token in run:
        if token.kind == "equals":
            sides.append([])
        else:
            sides[-1].append(token)
    return [_evaluate(side) for side in sides]


def _evaluate(tokens: list[_Token]) -> _Value | None:
    value = _Parser(tokens).parse()
    if value is None or _may_mean_another(tokens):
        return None
    lone = sum(token.kind == "number" for token in tokens) == 1 and all(
        token.text not in "*/()" for token in tokens
    )
    decimals = len(tokens[-1].text.partition(".")[2]) if lone else None
    percent = any(token.percent for token in tokens)
    text = " ".join(token.text + "%" * token.percent for token in tokens)
    return _Value(value, decimals, percent, text)


def _may_mean_another(tokens: list[_Token]) -> bool:
    """Whether people write these tokens for different values.

    80 - 10% may be 79.9 or 72, 50 / 1 / 2 may halve or double, 0900 is a time of day.
    """
    texts = [token.text for token in tokens]
    percents = sum(token.percent for token in tokens)
    unsure_percent = percents > 1 or (percents == 1 and ("+" in texts or "-" in texts))
    clock = any(len(text) > 1 and text.startswith("0") and "." not in text for text in texts)
    return unsure_percent or texts.count("/") > 1 or clock


def _holds(left: _Value, right: _Value) -> bool:
    """Whether two sides agree, up to the rounding of a side that is a lone number."""
    lefts = [left.value, left.value / 100] if left.percent else [left.value]
    rights = [right.value, right.value / 100] if right.percent else [right.value]
    if left.percent or right.percent:
        # 50 / 100 = 50 and 1 / 2 = 50%: one side counts in hundredths.
        lefts.append(left.value * 100)
    return any(_near(a, b, left.decimals, right.decimals) for a in lefts for b in rights)


def _near(left: Fraction, right: Fraction, left_decimals: int | None, right_decimals: int | None) -> bool:
    if left == right:
        return True
    if right_decimals is None:
        left, right, right_decimals = right, left, left_decimals
    if right_decimals is None:
        return False
    # Less than one unit of its last decimal: rounded, or cut off.
    return abs(left - right) < Fraction(1, 10**right_decimals)


class _Parser:
    """Recursive descent over `+ - * /` and brackets, with the usual precedence."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0

    def parse(self) -> Fraction | None:
        """The value of all tokens; None when they are no expression or divide by zero."""
        try:
            value = self._sum()
        except (_NotUnderstoodError, ZeroDivisionError):
            return None
        return value if self._position == len(self._tokens) else None

    def _sum(self) -> Fraction:
        value = self._product()
        while (sign := self._take("+-")) is not None:
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._operand()
        while (sign := self._take("*/")) is not None:
            other = self._operand()
            value = value * other if sign == "*" else value / other
        return value

    def _operand(self) -> Fraction:
        if self._take("(") is not None:
            value = self._sum()
            if self._take(")") is None:
                raise _NotUnderstoodError
            return value
        if self._position and self._tokens[self._position - 1].text not in "(+-*/":
            raise _NotUnderstoodError
        if self._position == 0 and self._take("-") is not None:
            return -self._operand()
        if self._position >= len(self._tokens) or self._tokens[self._position].kind != "number":
            raise _NotUnderstoodError
        token = self._tokens[self._position]
        self._position += 1
        return Fraction(token.text.replace(",", ""))

    def _take(self, choices: str) -> str | None:
        """Step over the next token when it is one of the characters, and return it."""
        if self._position < len(self._tokens) and self._tokens[self._position].text in choices:
            self._position += 1
            return self._tokens[self._position - 1].text
        return None


class _NotUnderstoodError(Exception):
    """The tokens are no plain expression."""
