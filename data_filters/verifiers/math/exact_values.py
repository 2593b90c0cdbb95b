"""Exact values of formulas: quotients of polynomials in variables, radicals, pi, e and i, in one normal form.

Two values are equal exactly when their normal forms are, as long as no part is opaque. An opaque part, such as
`\\sin x`, is a letter of its own: values that agree are equal, values that differ are undecided.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

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
from data_filters.verifiers.math.polynomials import (
    MAX_BITS,
    ONE,
    NotExactError,
    Polynomial,
    collect,
    plus,
    prime_powers,
    proportion,
    times,
)


class Agreement(StrEnum):
    """How two values stand to each other."""

    SAME = "same"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


_MAX_FACTORIAL = 400
_MAX_FACTORIAL_STEPS = 400
_FIRST_POWER = Fraction(1)
_CONSTANTS = frozenset(("pi", "e", "i"))


@dataclass(frozen=True, slots=True)
class ExactValue:
    """A polynomial over a polynomial."""

    top: Polynomial
    bottom: Polynomial

    @property
    def rational(self) -> Fraction | None:
        """The value where it is a rational number, else None."""
        if self.bottom != ONE or len(self.top) > 1:
            return None
        return self.top.get((), None) if self.top else Fraction(0)

    @property
    def is_opaque(self) -> bool:
        """Whether a part of it is known by its spelling only."""
        return any(_is_opaque(atom) for part in (self.top, self.bottom) for term in part for atom, _ in term)

    @property
    def names(self) -> frozenset[str]:
        """The variables in it."""
        atoms = {atom for part in (self.top, self.bottom) for term in part for atom, _ in term}
        return frozenset(
            atom for atom in atoms if not (atom.isdigit() or atom in _CONSTANTS or _is_opaque(atom))
        )


def compare_exactly(gold: Expression, given: Expression) -> Agreement:
    """Whether two formulas have the same value. Raises NotExactError where one of them has no exact value."""
    base = _factorial_base(gold, given)
    first, second = exact_value(gold, base), exact_value(given, base)
    if times(first.top, second.bottom) == times(second.top, first.bottom):
        return Agreement.SAME
    return Agreement.UNDECIDED if first.is_opaque or second.is_opaque else Agreement.DIFFERENT


def compare_equations(gold: tuple[Expression, Expression], given: tuple[Expression, Expression]) -> Agreement:
    """Whether two equations say the same: their differences of both sides are multiples of each other.

    Raises NotExactError where a side has no exact value.
    """
    first, second = _difference(gold), _difference(given)
    if proportion(first.top, second.top) is not None and proportion(first.bottom, second.bottom) is not None:
        return Agreement.SAME
    if first.is_opaque or second.is_opaque or first.bottom != ONE or second.bottom != ONE:
        return Agreement.UNDECIDED
    return Agreement.DIFFERENT


def compare_inequalities(
    gold: tuple[Expression, Expression], given: tuple[Expression, Expression]
) -> Agreement:
    """The same for `smaller < larger` with the same sign of relation: multiples must be positive."""
    first, second = _difference(gold), _difference(given)
    ratio = proportion(first.top, second.top)
    if first.bottom == second.bottom == ONE and ratio is not None:
        return Agreement.SAME if ratio > 0 else Agreement.DIFFERENT
    return Agreement.UNDECIDED


def exact_value(expression: Expression, factorial_base: int | None = None) -> ExactValue:
    """The normal form of a formula's value; factorials beyond `factorial_base` are counted from it.

    Raises NotExactError where there is none.
    """
    match expression:
        case Number(value):
            return _rational(value)
        case Name(name):
            return _atom(name)
        case Sum(terms):
            total = exact_value(terms[0], factorial_base)
            for term in terms[1:]:
                total = _add(total, exact_value(term, factorial_base))
            return total
        case Product(factors):
            product = exact_value(factors[0], factorial_base)
            for factor in factors[1:]:
                product = _multiply(product, exact_value(factor, factorial_base))
            return product
        case Quotient(top, bottom):
            return _multiply(exact_value(top, factorial_base), _inverse(exact_value(bottom, factorial_base)))
        case Power(base, exponent):
            return _power(exact_value(base, factorial_base), exact_value(exponent, factorial_base))
        case Call(function, arguments):
            return _call(
                function, [exact_value(argument, factorial_base) for argument in arguments], factorial_base
            )


def _rational(value: Fraction) -> ExactValue:
    return ExactValue({(): value} if value else {}, ONE)


def _atom(name: str, exponent: Fraction = _FIRST_POWER) -> ExactValue:
    return ExactValue({((name, exponent),): Fraction(1)}, ONE)


def _opaque(kind: str, arguments: list[ExactValue]) -> ExactValue:
    parts = [repr((sorted(value.top.items()), sorted(value.bottom.items()))) for value in arguments]
    # A digest: an atom that spells out its arguments would double in length with each level of nesting.
    digest = hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()
    return _atom(f"<{kind} {digest}>")


def _is_opaque(atom: str) -> bool:
    return atom.startswith("<")


def _add(first: ExactValue, second: ExactValue) -> ExactValue:
    if first.bottom == second.bottom:
        return ExactValue(plus(first.top, second.top), first.bottom)
    top = plus(times(first.top, second.bottom), times(second.top, first.bottom))
    return ExactValue(top, times(first.bottom, second.bottom))


def _multiply(first: ExactValue, second: ExactValue) -> ExactValue:
    return ExactValue(times(first.top, second.top), times(first.bottom, second.bottom))


def _inverse(value: ExactValue) -> ExactValue:
    if not value.top:
        raise NotExactError("a division by zero")
    if len(value.top) > 1:
        return ExactValue(value.bottom, value.top)
    ((monomial, coefficient),) = value.top.items()
    inverted = collect([(tuple((atom, -power) for atom, power in monomial), 1 / coefficient)])
    return ExactValue(times(value.bottom, inverted), ONE)


def _power(base: ExactValue, exponent: ExactValue) -> ExactValue:
    number = exponent.rational
    if number is None:
        return _opaque("power", [base, exponent])
    if number.denominator == 1:
        return _whole_power(base, int(number))
    rational = base.rational
    if rational is not None:
        return _root_of_rational(rational, number)
    if base.bottom == ONE and len(base.top) == 1:
        ((monomial, coefficient),) = base.top.items()
        if coefficient > 0 and len(monomial) == 1 and monomial[0][1] == 1 and _may_be_rooted(monomial[0][0]):
            root = _atom(monomial[0][0], number)
            return root if coefficient == 1 else _multiply(_root_of_rational(coefficient, number), root)
    return _opaque("power", [base, exponent])


def _may_be_rooted(atom: str) -> bool:
    return not atom.isdigit() and atom not in ("i", "infty")


def _whole_power(base: ExactValue, exponent: int) -> ExactValue:
    if exponent < 0:
        return _whole_power(_inverse(base), -exponent)
    if exponent == 0:
        if not base.top:
            raise NotExactError("zero to the power of zero")
        return _rational(Fraction(1))
    _require_affordable(base, exponent)
    result, square = _rational(Fraction(1)), base
    while exponent:
        if exponent & 1:
            result = _multiply(result, square)
        exponent >>= 1
        if exponent:
            square = _multiply(square, square)
    return result


def _require_affordable(base: ExactValue, exponent: int) -> None:
    terms = max(len(base.top), len(base.bottom))
    bits = max(
        (
            value.numerator.bit_length() + value.denominator.bit_length()
            for part in (base.top, base.bottom)
            for value in part.values()
        ),
        default=0,
    )
    is_one = all(value in (1, -1) for part in (base.top, base.bottom) for value in part.values())
    if (terms > 1 and exponent > 100) or (not is_one and bits * exponent > MAX_BITS) or exponent > 10**6:
        raise NotExactError("a power that is too large")


def _root_of_rational(value: Fraction, exponent: Fraction) -> ExactValue:
    """A rational number to the power of a fraction, as powers of primes."""
    if value < 0:
        if exponent.denominator == 2:
            turned = _whole_power(_atom("i"), exponent.numerator % 4)
            return _multiply(turned, _root_of_rational(-value, exponent))
        raise NotExactError("a root of a negative number")
    if value == 0:
        if exponent < 0:
            raise NotExactError("a division by zero")
        return _rational(Fraction(0))
    if abs(exponent.numerator) > 1000 or exponent.denominator > 1000:
        raise NotExactError("a root that is too large")
    powers = [
        (str(prime), count * sign * exponent)
        for part, sign in ((value.numerator, 1), (value.denominator, -1))
        for prime, count in prime_powers(part)
    ]
    return ExactValue(collect([(tuple(powers), Fraction(1))]), ONE)


def _call(function: str, arguments: list[ExactValue], factorial_base: int | None) -> ExactValue:
    if function == "factorial":
        return _factorial(arguments[0], factorial_base)
    numbers = [argument.rational for argument in arguments]
    match function, numbers:
        case "abs", [Fraction() as number]:
            return _rational(abs(number))
        case "floor", [Fraction() as number]:
            return _rational(Fraction(math.floor(number)))
        case "ceiling", [Fraction() as number]:
            return _rational(Fraction(math.ceil(number)))
        case "binomial", [Fraction() as top, Fraction() as bottom]:
            return _rational(_binomial(top, bottom))
    return _opaque(function, arguments)


def _binomial(top: Fraction, bottom: Fraction) -> Fraction:
    if top.denominator != 1 or bottom.denominator != 1 or not 0 <= bottom <= top or top > 1000:
        raise NotExactError("a binomial that is no small whole number")
    return Fraction(math.comb(int(top), int(bottom)))


def _factorial(argument: ExactValue, base: int | None) -> ExactValue:
    number = argument.rational
    if number is None:
        return _opaque("factorial", [argument])
    if number.denominator != 1 or number < 0:
        raise NotExactError("a factorial of no natural number")
    whole = int(number)
    if whole <= _MAX_FACTORIAL:
        return _rational(Fraction(math.factorial(whole)))
    if base is None or whole - base > _MAX_FACTORIAL_STEPS:
        raise NotExactError("a factorial that is too large")
    # 1000000! and 999999! are both multiples of the smaller one, which is never computed.
    return _multiply(_rational(Fraction(math.prod(range(base + 1, whole + 1)))), _atom(f"factorial{base}"))


def _factorial_base(*expressions: Expression) -> int | None:
    """The smallest of the numbers whose factorials are too large to compute."""
    found = [number for expression in expressions for number in _large_factorials(expression)]
    return min(found, default=None)


def _large_factorials(expression: Expression) -> list[int]:
    match expression:
        case Call("factorial", (Number(value),)):
            return [int(value)] if value.denominator == 1 and value > _MAX_FACTORIAL else []
        case Sum(parts) | Product(parts) | Call(_, parts):
            return [number for part in parts for number in _large_factorials(part)]
        case Quotient(first, second) | Power(first, second):
            return _large_factorials(first) + _large_factorials(second)
    return []


def _difference(sides: tuple[Expression, Expression]) -> ExactValue:
    left, right = exact_value(sides[0]), exact_value(sides[1])
    return _add(left, _multiply(_rational(Fraction(-1)), right))
