"""Whether a decimal is the rounding of a formula's value."""

from __future__ import annotations

import math
from fractions import Fraction

from data_filters.verifiers.math.exact_values import ExactValue, exact_value
from data_filters.verifiers.math.expressions import Expression
from data_filters.verifiers.math.numbers import SIGNIFICANT_DIGITS, PlainNumber, is_rounding_of
from data_filters.verifiers.math.polynomials import NotExactError, Polynomial

_CONSTANTS = {"pi": math.pi, "e": math.e}
_MOST_DIGITS = 14
"""Decimals with more digits than double precision holds are not compared with a value worked out in it."""


def is_rounded(decimal: PlainNumber, formula: Expression) -> bool:
    """Whether a decimal of six or more significant digits is the formula's value, rounded or cut off."""
    if not decimal.decimals or not SIGNIFICANT_DIGITS <= decimal.digits <= _MOST_DIGITS:
        return False
    try:
        value = approximate_value(exact_value(formula))
    except NotExactError:
        return False
    return value is not None and is_rounding_of(decimal.value, decimal.decimals, decimal.digits, value)


def approximate_value(value: ExactValue) -> Fraction | None:
    """A real constant's value to double precision; None where it is none, or out of the range of doubles."""
    try:
        top, bottom = _sum(value.top), _sum(value.bottom)
        return Fraction(top / bottom) if bottom else None
    except (KeyError, OverflowError, ValueError):
        return None


def _sum(polynomial: Polynomial) -> float:
    """Raises KeyError for a variable, OverflowError for a number that is too large."""
    return math.fsum(
        float(coefficient) * math.prod(_base(atom) ** float(power) for atom, power in monomial)
        for monomial, coefficient in polynomial.items()
    )


def _base(atom: str) -> float:
    return float(atom) if atom.isdigit() else _CONSTANTS[atom]
