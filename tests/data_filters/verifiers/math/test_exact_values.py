"""Exact values agree with arithmetic, and say when they cannot tell."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.math.exact_values import (
    Agreement,
    compare_equations,
    compare_exactly,
    compare_inequalities,
    exact_value,
)
from data_filters.verifiers.math.expression_reader import read_expression
from data_filters.verifiers.math.polynomials import NotExactError

SMALL = st.integers(-9, 9)


def compared(gold: str, given_text: str) -> Agreement:
    return compare_exactly(read_expression(gold), read_expression(given_text))


@pytest.mark.parametrize(
    ("gold", "given_text", "agreement"),
    [
        ("\\sqrt{12}", "2\\sqrt{3}", Agreement.SAME),
        ("\\frac{1}{\\sqrt{2}+1}", "\\sqrt{2}-1", Agreement.SAME),
        ("\\sqrt{-4}", "2i", Agreement.SAME),
        ("i^3", "-i", Agreement.SAME),
        ("2^{1/3}*2^{2/3}", "2", Agreement.SAME),
        ("\\sqrt{6}", "\\sqrt{2}\\sqrt{3}", Agreement.SAME),
        ("\\frac{x^2-1}{x-1}", "x+1", Agreement.SAME),
        ("\\binom{5}{2}", "10", Agreement.SAME),
        ("\\lfloor -2.5 \\rfloor", "-3", Agreement.SAME),
        ("1000000!", "999999!*1000000", Agreement.SAME),
        ("\\sin x + 1", "1 + \\sin(x)", Agreement.SAME),
        ("\\sqrt{4x}", "2\\sqrt{x}", Agreement.SAME),
        ("\\sqrt{x^2}", "x", Agreement.UNDECIDED),
        ("\\sin 2x", "2\\sin x\\cos x", Agreement.UNDECIDED),
        ("\\sqrt{2}", "\\sqrt{3}", Agreement.DIFFERENT),
        ("x", "X", Agreement.DIFFERENT),
        ("\\pi", "3.14159265358979", Agreement.DIFFERENT),
        ("1/2^{99}", "1/2^{98}", Agreement.DIFFERENT),
    ],
)
def test_two_formulas_are_compared_by_their_normal_forms(
    gold: str, given_text: str, agreement: Agreement
) -> None:
    assert compared(gold, given_text) == agreement


@pytest.mark.parametrize(
    "text",
    [
        "1/0",
        "0^0",
        "2^{1000000}",
        "(x+y+z)^{99}",
        "9^{9^9}",
        "\\sqrt[4]{-2}",
        "100000!+200000!",
        "\\binom{9999}{5}",
    ],
)
def test_what_is_undefined_or_too_large_has_no_exact_value(text: str) -> None:
    with pytest.raises(NotExactError):
        compare_exactly(read_expression(text), read_expression("x"))


def test_an_opaque_part_takes_the_same_room_however_deep_it_is() -> None:
    value = exact_value(read_expression("\\sin(" * 25 + "x" + ")" * 25))

    assert len(repr(value)) < 200


@given(SMALL, SMALL, SMALL, SMALL)
def test_a_product_of_sums_equals_its_expansion(a: int, b: int, c: int, d: int) -> None:
    product = f"({a}x+{b})({c}x+{d})"
    expansion = f"({a * c})x^2+({a * d + b * c})x+({b * d})"

    assert compared(product, expansion) == Agreement.SAME
    assert compared(product, expansion + "+1") == Agreement.DIFFERENT


@given(st.integers(1, 10**6))
def test_a_root_squared_is_its_number(number: int) -> None:
    try:
        assert compared(f"\\sqrt{{{number}}}^2", str(number)) == Agreement.SAME
    except NotExactError:
        # Two prime factors above a thousand are not searched for.
        assert number > 1_000_000


@given(st.fractions(), st.fractions())
def test_a_sum_of_fractions_is_exact(first: Fraction, second: Fraction) -> None:
    assert exact_value(read_expression(f"({first})+({second})")).rational == first + second


def equation(text: str) -> tuple[object, object]:
    left, right = text.split("=")
    return read_expression(left), read_expression(right)


@given(SMALL, SMALL, SMALL, st.integers(1, 9))
def test_an_equation_equals_its_multiples_and_an_inequality_only_the_positive_ones(
    a: int, b: int, c: int, factor: int
) -> None:
    first = equation(f"({a})x+({b})y=({c})")
    multiple = equation(f"({a * factor})x+({b * factor})y=({c * factor})")
    negative = equation(f"({-a * factor})x+({-b * factor})y=({-c * factor})")

    assert compare_equations(first, multiple) == compare_equations(first, negative) == Agreement.SAME  # type: ignore[arg-type]  # pairs of trees
    assert compare_inequalities(first, multiple) == Agreement.SAME  # type: ignore[arg-type]  # pairs of trees
    if a or b or c:
        assert compare_inequalities(first, negative) == Agreement.DIFFERENT  # type: ignore[arg-type]  # pairs of trees
