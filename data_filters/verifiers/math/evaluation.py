"""The value of a formula at a point, with 30 digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]  # mpmath ships no types

from data_filters.verifiers.math.expressions import (
    Call,
    Expression,
    Name,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
)


class NotEvaluatedError(Exception):
    """The formula has no value at the point, or none that may be computed."""


_DIGITS = 30
_CONTEXT = mpmath.MPContext()
_CONTEXT.dps = _DIGITS
_LARGEST_EXPONENT = 10**6
_CONSTANTS = {"pi": _CONTEXT.pi, "e": _CONTEXT.e, "i": _CONTEXT.mpc(0, 1)}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": _CONTEXT.sin,
    "cos": _CONTEXT.cos,
    "tan": _CONTEXT.tan,
    "cot": _CONTEXT.cot,
    "sec": _CONTEXT.sec,
    "csc": _CONTEXT.csc,
    "arcsin": _CONTEXT.asin,
    "arccos": _CONTEXT.acos,
    "arctan": _CONTEXT.atan,
    "sinh": _CONTEXT.sinh,
    "cosh": _CONTEXT.cosh,
    "tanh": _CONTEXT.tanh,
    "ln": _CONTEXT.ln,
    "exp": _CONTEXT.exp,
    "abs": abs,
    "floor": _CONTEXT.floor,
    "ceiling": _CONTEXT.ceil,
    "binomial": _CONTEXT.binomial,
    "factorial": _CONTEXT.factorial,
    "degrees": lambda angle: angle * _CONTEXT.pi / 180,
}


def evaluate(expression: Expression, point: Mapping[str, Fraction]) -> Any:
    """The value as an mpmath number, where `point` gives each variable's value.

    Raises NotEvaluatedError where there is no finite value, for functions that are not known here, and where a power is
    too large.
    """
    try:
        value = _value(expression, point)
        finite = bool(_CONTEXT.isfinite(value))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise NotEvaluatedError(f"{type(error).__name__}: {error}") from error
    if not finite:
        raise NotEvaluatedError("the value is not finite")
    return value


def names_in(expression: Expression) -> set[str]:
    """The variables of a formula."""
    match expression:
        case Name(name):
            return set() if name in _CONSTANTS else {name}
        case Sum(parts) | Product(parts) | Call(_, parts):
            return set().union(*(names_in(part) for part in parts))
        case Quotient(first, second) | Power(first, second):
            return names_in(first) | names_in(second)
    return set()


def _value(expression: Expression, point: Mapping[str, Fraction]) -> Any:
    match expression:
        case Number(value):
            return _CONTEXT.mpf(value.numerator) / value.denominator
        case Name("infty"):
            raise NotEvaluatedError("infinity is no number")
        case Name(name):
            if name in _CONSTANTS:
                return +_CONSTANTS[name]
            return _CONTEXT.mpf(point[name].numerator) / point[name].denominator
        case Sum(terms):
            return _CONTEXT.fsum(_value(term, point) for term in terms)
        case Product(factors):
            return _CONTEXT.fprod(_value(factor, point) for factor in factors)
        case Quotient(top, bottom):
            return _value(top, point) / _value(bottom, point)
        case Power(base, exponent):
            return _raised(_value(base, point), _value(exponent, point))
        case Call(function, arguments):
            return _called(function, [_value(argument, point) for argument in arguments])


def _raised(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _LARGEST_EXPONENT or abs(_CONTEXT.log(abs(base) + 1)) > _LARGEST_EXPONENT:
        raise NotEvaluatedError("a power that is too large")
    return base**exponent


def _called(function: str, arguments: list[Any]) -> Any:
    if any(abs(argument) > _LARGEST_EXPONENT for argument in arguments) and function != "abs":
        raise NotEvaluatedError(f"{function} of a number that is too large")
    if function == "log":
        # A logarithm without a base is the decimal one for some authors and the natural one for others.
        if len(arguments) == 1:
            raise NotEvaluatedError("a logarithm without its base")
        return _CONTEXT.ln(arguments[0]) / _CONTEXT.ln(arguments[1])
    if function not in _FUNCTIONS:
        raise NotEvaluatedError(f"the function {function}")
    return _FUNCTIONS[function](*arguments)
