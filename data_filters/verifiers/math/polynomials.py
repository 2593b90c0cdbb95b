"""Polynomials in powers of primes, names and opaque parts, in one normal form.

Roots of whole numbers are fractional powers of primes: 2\\sqrt{3} is {(("3", 1/2),): 2}.
"""

from __future__ import annotations

import math
from fractions import Fraction


class NotExactError(Exception):
    """The formula has no exact value in this form, or one that is too large to be worth computing."""


Monomial = tuple[tuple[str, Fraction], ...]
"""Powers of atoms, sorted by atom: primes under a root as "2", names as "x", opaque parts as "<...>"."""
Polynomial = dict[Monomial, Fraction]

MAX_TERMS = 300
MAX_BITS = 20_000
_MAX_ALL_BITS = 60_000
_MAX_TRIAL_DIVISOR = 1000
ONE: Polynomial = {(): Fraction(1)}


def plus(first: Polynomial, second: Polynomial) -> Polynomial:
    """The sum. Raises NotExactError where it is too large."""
    total = dict(first)
    for monomial, coefficient in second.items():
        changed = total.get(monomial, 0) + coefficient
        if changed:
            total[monomial] = changed
        else:
            total.pop(monomial, None)
    _require_small(total)
    return total


def times(first: Polynomial, second: Polynomial) -> Polynomial:
    """The product. Raises NotExactError where it is too large."""
    if first == ONE:
        return second
    if second == ONE:
        return first
    if len(first) * len(second) > MAX_TERMS * 10:
        raise NotExactError(f"a product of {len(first)} and {len(second)} terms")
    terms = [(left + right, one * other) for left, one in first.items() for right, other in second.items()]
    product = collect(terms)
    _require_small(product)
    return product


def _require_small(polynomial: Polynomial) -> None:
    if len(polynomial) > MAX_TERMS:
        raise NotExactError(f"more than {MAX_TERMS} terms")
    sizes = [value.numerator.bit_length() + value.denominator.bit_length() for value in polynomial.values()]
    if (len(sizes) > 1 and sum(sizes) > _MAX_ALL_BITS) or max(sizes, default=0) > MAX_BITS:
        raise NotExactError("numbers of too many bits")


def collect(terms: list[tuple[Monomial, Fraction]]) -> Polynomial:
    """Add terms up, with each monomial in its normal form."""
    total: Polynomial = {}
    for powers, coefficient in terms:
        monomial, factor = _reduced(powers)
        changed = total.get(monomial, 0) + coefficient * factor
        if changed:
            total[monomial] = changed
        else:
            total.pop(monomial, None)
    return total


def _reduced(powers: Monomial) -> tuple[Monomial, Fraction]:
    """Join equal atoms; whole powers of primes and of i^2 go into the coefficient."""
    if len(powers) == 0:
        return (), Fraction(1)
    joined: dict[str, Fraction] = {}
    for atom, power in powers:
        joined[atom] = joined.get(atom, 0) + power
    factor = Fraction(1)
    for atom, power in list(joined.items()):
        if atom.isdigit():
            whole = math.floor(power)
            if abs(whole) > MAX_BITS:
                raise NotExactError("a root's power is too large")
            factor *= Fraction(int(atom)) ** whole
            joined[atom] = power - whole
        elif atom == "i" and power.denominator == 1:
            factor *= -1 if power % 4 >= 2 else 1
            joined[atom] = power % 2
    return tuple(sorted((atom, power) for atom, power in joined.items() if power)), factor


def prime_powers(number: int) -> list[tuple[int, int]]:
    """The factorisation of a positive number. Raises NotExactError where trial division does not reach."""
    if number.bit_length() > 256:
        raise NotExactError("a root of a large number")
    powers = []
    divisor = 2
    while divisor * divisor <= number and divisor <= _MAX_TRIAL_DIVISOR:
        count = 0
        while number % divisor == 0:
            number //= divisor
            count += 1
        if count:
            powers.append((divisor, count))
        divisor += 1 if divisor == 2 else 2
    if number == 1:
        return powers
    if number < _MAX_TRIAL_DIVISOR**2:
        return [*powers, (number, 1)]
    root = math.isqrt(number)
    if root * root == number and root < _MAX_TRIAL_DIVISOR**2:
        return [*powers, (root, 2)]
    raise NotExactError("a root of a number with two large factors")


def proportion(first: Polynomial, second: Polynomial) -> Fraction | None:
    """The number that takes the first polynomial to the second; None where there is none."""
    if first.keys() != second.keys():
        return None
    if not first:
        return Fraction(1)
    ratios = {second[monomial] / coefficient for monomial, coefficient in first.items()}
    return ratios.pop() if len(ratios) == 1 else None
