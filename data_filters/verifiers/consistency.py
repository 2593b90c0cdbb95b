"""Whether a thought agrees with itself and the answer: its sums are right, its conclusion is the answer.

Only what is plain arithmetic is judged, such as `12 + 7 = 19` or `$3 x 4 = 10 + 2 = $12`. Where a unit, a
word or a variable stands between the numbers, the equation is left alone: a right thought must not be
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from data_filters.samples import Check, Outcome
from data_filters.verifiers.extraction import announced_answer
from data_filters.verifiers.numbers import normalise, numbers_agree, read_number

CHECK_NAME = "consistency"

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
_OPERATORS = (
    (
        re.compile(
            r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|[\u00d7\u00b7\u2219]|(?<=[\d)%\s])[xX](?=[\s\d(.$])"
        ),
        "*",
    ),
    (re.compile(r"\\div(?![A-Za-z])|\u00f7"), "/"),
    (re.compile(r"[\u2010-\u2015\u2212]"), "-"),
    (re.compile(r"\\%"), "%"),
)
_UNSURE_WORDS = {
    "of",
    "half",
    "twice",
    "thrice",
    "times",
    "plus",
    "minus",
    "by",
    "than",
    "less",
    "more",
    "per",
    "over",
}
"""Words that make what follows only a part of an expression, as in `half of 6 + 4 = 5`."""
_MAX_TOKENS = 60


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    percent: bool = False


@dataclass(frozen=True)
class _Value:
    """The value of one side, and how exactly it was written."""

    value: Fraction
    decimals: int | None
    """Decimals of a lone number; None for an expression."""
    percent: bool
    text: str


def check(thought: str, answer: str | None) -> Check:
    """Judge a thought, and hold its stated conclusion against `answer`; None leaves the conclusion unjudged.

    Verified with `thought_consistent`; refuted with `thought_wrong_step` or `thought_other_conclusion`.
    """
    for wrong in wrong_equations(thought):
        return Check(CHECK_NAME, Outcome.REFUTED, "thought_wrong_step", wrong)
    if answer is not None and (difference := _other_conclusion(thought, answer)):
        return Check(CHECK_NAME, Outcome.REFUTED, "thought_other_conclusion", difference)
    return Check(CHECK_NAME, Outcome.VERIFIED, "thought_consistent")


def wrong_equations(text: str) -> Iterator[str]:
    """Yield each plain arithmetic equation of `text` that does not hold, as it was understood."""
    for run in _runs(_tokens(text)):
        sides = _split_sides(run)
        for left, right in pairwise(sides):
            if left is None or right is None or (left.decimals is not None and right.decimals is not None):
                continue
            if not _holds(left, right):
                yield f"{left.text} = {right.text}"


def _tokens(text: str) -> Iterator[_Token]:
    text = _NOISE.sub("", text)
    for pattern, replacement in _OPERATORS:
        text = pattern.sub(replacement, text)
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "symbol"
        if found["number"]:
            # A number grown together with letters is a variable or a unit such as 5k: its value is not known.
            kind = "symbol" if found["attached"] else "number"
        yield _Token(
            "symbol" if kind == "time" else kind, found["number"] or found[0], bool(found["percent"])
        )


def _runs(tokens: Iterator[_Token]) -> Iterator[list[_Token]]:
    """Yield the runs of tokens that hold an equation, with a symbol at an end that may belong to more."""
    before: _Token | None = None
    run: list[_Token] = []
    for token in tokens:
        if token.kind in ("number", "operator", "bracket", "equals"):
            run.append(token)
            continue
        yield from _closed_run(before, run, token)
        before, run = token, []
    yield from _closed_run(before, run, None)


def _closed_run(before: _Token | None, run: list[_Token], after: _Token | None) -> Iterator[list[_Token]]:
    if not any(token.kind == "equals" for token in run) or len(run) > _MAX_TOKENS:
        return
    if after is not None and after.text == "?":
        return
    unsure = _Token("symbol", "?")
    yield [unsure] * _starts_unsure(before, run) + run + [unsure] * _ends_unsure(after)


def _starts_unsure(before: _Token | None, run: list[_Token]) -> bool:
    """Whether what stands before a run may be a part of its first expression."""
    if before is None or before.kind == "pause":
        return False
    # `Week 2 = 35 + 35`: a lone number after a word is a name.
    is_name = len(run) > 1 and run[0].kind == "number" and run[1].kind == "equals"
    sure_word = (
        before.kind == "word" and not _is_variable(before) and before.text.lower() not in _UNSURE_WORDS
    )
    return is_name or not sure_word or run[0].kind == "operator"


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
    unit = Fraction(1, 10**right_decimals)
    # What can be written exactly with these decimals must be exact; the rest may be rounded or cut off.
    return (left / unit).denominator != 1 and abs(left - right) < unit


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


def _other_conclusion(thought: str, answer: str) -> str:
    """How the number that the thought announces differs from the answer's; empty when nothing differs."""
    announced, given = announced_answer(thought), announced_answer(answer)
    if announced is None or given is None:
        return ""
    concluded, answered = read_number(normalise(announced.answer)), read_number(normalise(given.answer))
    if concluded is None or answered is None or numbers_agree(answered, concluded):
        return ""
    return f"the thought concludes {announced.answer[:60]!r}, the answer is {given.answer[:60]!r}"
