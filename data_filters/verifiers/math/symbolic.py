"""Two independent views of whether two formulas are equal: math-verify's and our own evaluation.

Runs only inside a process that can be killed (`worker`): either view may take any time and memory.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr  # type: ignore[import-untyped]  # sympy ships no types

from data_filters.verifiers.math.evaluation import NotEvaluatedError, evaluate, names_in
from data_filters.verifiers.math.exact_values import Agreement
from data_filters.verifiers.math.expression_reader import read_expression
from data_filters.verifiers.math.expression_tokens import UnreadableError

_READING = [LatexExtractionConfig()]
_COMMANDS = (
    ("\u00b0", "^{\\circ}"),
    ("\u2264", "\\leq "),
    ("\u2265", "\\geq "),
    ("\u2260", "\\neq "),
)
_EXPECTED = {Agreement.SAME: True, Agreement.DIFFERENT: False}
_POINTS = 3
_SAME = 1e-20
_LARGEST = 1e9
_DIFFERENT = 1e-12
_WARM_UP = (
    ("\\frac{\\sqrt{3}}{2}+\\sin(x)^2", "x^2-\\log_{2}(3)\\pi"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ("(-\\infty,2]\\cup[3,4)", "x>3"),
    ("\\{1,2\\}", "(1,2)"),
    ("\\binom{5}{2}+3!", "|x-1|"),
    ("y=2x+1", "\\int_0^1 x\\,dx"),
)


def compare(gold: str, given: str, with_library: bool) -> dict[str, Any]:
    """Both views, or our own alone, as the fields of `pool.Views`.

    "library" is missing where math-verify cannot read one of the texts, which "unreadable" names; "reversed" is its
    view with the sides exchanged, and missing where the first two agree.
    """
    numeric = evaluated_agreement(gold, given)
    if not with_library:
        return {"numeric": numeric}
    golds, givens = _parsed(gold), _parsed(given)
    if not golds or not givens:
        return {"numeric": numeric, "unreadable": "gold" if not golds else "given"}
    views = {"numeric": numeric, "library": _verified(golds[0], givens[0])}
    if _EXPECTED.get(numeric) != views["library"]:
        # math-verify is not symmetric; the other order costs as much again, and is asked only where it can tell more.
        views["reversed"] = _verified(givens[0], golds[0])
    return views


def evaluated_agreement(gold: str, given: str) -> Agreement:
    """Compare the values of two formulas at a few points, with 30 digits."""
    try:
        first, second = read_expression(gold), read_expression(given)
        names = sorted(names_in(first) | names_in(second))
        # The points only have to be the same in every run and no special values.
        source = random.Random(7)
        compared = 0
        for _ in range(_POINTS):
            point = {name: Fraction(source.randint(1000, 9999), 2003) for name in names}
            left, right = evaluate(first, point), evaluate(second, point)
            size = max(abs(left), abs(right))
            distance = abs(left - right) / size if size else 0
            if distance > _DIFFERENT:
                return Agreement.DIFFERENT
            # Of larger numbers 30 digits do not show the ones: they may differ all the same.
            compared += distance < _SAME and size < _LARGEST
            if not names:
                break
    except (UnreadableError, NotEvaluatedError):
        return Agreement.UNDECIDED
    return Agreement.SAME if compared == (_POINTS if names else 1) else Agreement.UNDECIDED


def warm_up() -> None:
    """Compare a few formulas of each kind, so that the parser's caches are filled before the first question."""
    for gold, given in _WARM_UP:
        compare(gold, given, with_library=True)


def _parsed(text: str) -> list[Any]:
    # No fallback to "any number in the text": it makes 1 - 1/e equal to 1 + 1/e.
    for sign, command in _COMMANDS:
        text = text.replace(sign, command)
    found = parse(f"${text}$", _READING, fallback_mode="no_fallback", parsing_timeout=None)
    return [value for value in found if not isinstance(value, str)]


def _verified(gold: Any, given: Any) -> bool:
    # It takes some letters for units, which makes 4 t equal to 4.
    if isinstance(gold, Expr) and isinstance(given, Expr) and gold.free_symbols != given.free_symbols:
        return False
    return bool(verify([gold], [given], timeout_seconds=None))
