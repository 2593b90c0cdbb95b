"""Answers as people write them are read as exact numbers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.math.numbers import normalise, numbers_agree, read_number


def value(text: str) -> Fraction | None:
    number = read_number(normalise(text))
    return None if number is None else number.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", 42),
        ("-7.50", Fraction(-15, 2)),
        ("1,234,567.", 1234567),
        ("10{,}000", 10000),
        ("$18.00 per day", 18),
        ("\\$5", 5),
        ("3/4", Fraction(3, 4)),
        ("\\dfrac{3}{4}", Fraction(3, 4)),
        ("\\frac34", Fraction(3, 4)),
        ("1\\frac{1}{2}", Fraction(3, 2)),
        ("1.5 \\times 10^{4}", 15000),
        ("2e-3", Fraction(1, 500)),
        ("5 \\text{ cm}", 5),
        ("90^\\circ", 90),
        ("\u22125", -5),
        ("\uff15", 5),
        (".5", Fraction(1, 2)),
        ("\\boxed{7}", 7),
        ("2 1/2", Fraction(5, 2)),
        ("\u00bd", Fraction(1, 2)),
        ("10^{3}", None),
        ("3.", 3),
        ("5\\text{ m}^2", 5),
        ("34\\text{ sq. units}", 34),
    ],
)
def test_a_plain_number_is_read_exactly(text: str, expected: Fraction | int | None) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["4t", "4 t", "2ab", "2 abc", "4x + 1", "600, 15", "12 or 13", "x", "", "1/0", "2^{10}", "1=2", "."],
)
def test_what_is_no_plain_number_is_left_to_others(text: str) -> None:
    assert value(text) is None


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=4))
def test_a_number_written_with_thousands_commas_is_the_same_number(number: Decimal) -> None:
    assert value(f"{number:,}") == Fraction(number)


@given(st.fractions())
def test_a_fraction_is_read_as_itself(number: Fraction) -> None:
    assert value(f"{number.numerator}/{number.denominator}") == number


@pytest.mark.parametrize(
    ("expected", "given_text", "agree"),
    [
        ("40", "40.0\\%", True),
        ("0.4", "40\\%", True),
        ("40\\%", "40", True),
        ("40\\%", "0.4\\%", False),
        ("1/3", "0.333333", True),
        ("1/3", "0.333", False),
        ("5 cm", "5 m", False),
        ("5 cm", "5", True),
        ("5 apples", "5 apple", True),
        ("5 cm", "50 mm", True),
        ("$1", "100 cents", True),
        ("$1", "100 euros", False),
        ("1/1000000000", "0.000000", False),
        ("2/3", "0.666666", True),
        ("2/3", "0.666667", True),
        ("2/3", "0.666668", False),
        ("0.1234567", "0.1234568", False),
    ],
)
def test_two_numbers_agree_by_policy(expected: str, given_text: str, agree: bool) -> None:
    first, second = read_number(normalise(expected)), read_number(normalise(given_text))

    assert first is not None and second is not None
    assert numbers_agree(first, second) is agree


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_that_decides(text: str) -> None:
    once = normalise(text)

    assert read_number(once) == read_number(normalise(once)) or read_number(once) is None
