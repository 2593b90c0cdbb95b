"""Answers in words, and the units behind formulas."""

import pytest

from data_filters.verifiers.math.units import Unit, read_unit
from data_filters.verifiers.math.words import Wording, compare_labels, compare_words, split_unit, units_agree


@pytest.mark.parametrize(
    ("gold", "given", "wording"),
    [
        ("Evelyn", "evelyn", Wording.SAME_TEXT),
        ("two lines", "Two lines", Wording.SAME_TEXT),
        ("four", "4", Wording.SAME_TEXT),
        ("DNE", "does not exist", Wording.SAME_TEXT),
        ("Evelyn", "Anna", Wording.DIFFERENT),
        ("4", "I do not know", Wording.DIFFERENT),
        ("CD", "DC", Wording.DIFFERENT),
        ("B", "(B)", Wording.SAME_CHOICE),
        ("B", "b", Wording.DIFFERENT),
        ("(B)", "b", Wording.SAME_CHOICE),
        ("1:4", "1 : 4", Wording.SAME_RATIO),
        ("1:4", "4:1", Wording.DIFFERENT),
        ("xy", "yx", None),
        ("x+1", "1+x", None),
        ("all real numbers", "(-\\infty,\\infty)", None),
    ],
)
def test_words_are_compared_as_words(gold: str, given: str, wording: Wording | None) -> None:
    assert compare_words(gold, given) == wording


@pytest.mark.parametrize(
    ("gold", "given", "found"),
    [
        ("A", "A) 5", Wording.SAME_CHOICE),
        ("(A) 5", "A", Wording.SAME_CHOICE),
        ("B", "A) 5", Wording.DIFFERENT),
        ("5", "(A) 5", ("5", "5")),
        ("5", "6", None),
    ],
)
def test_a_choice_given_with_its_text_is_compared_by_what_both_sides_have(
    gold: str, given: str, found: object
) -> None:
    assert compare_labels(gold, given) == found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("9 \\pi square feet", ("9 \\pi", "square feet")),
        ("\\frac{270}{7} degrees", ("\\frac{270}{7}", "degrees")),
        ("30\u00b0", ("30", "\u00b0")),
        ("$5x", ("5x", "$")),
        ("9 \\pi", ("9 \\pi", "")),
        ("2ab", ("2ab", "")),
        ("x + abcd", ("x + abcd", "")),
    ],
)
def test_a_unit_behind_a_formula_is_split_off(text: str, parts: tuple[str, str]) -> None:
    assert split_unit(text) == parts


def test_units_agree_unless_both_measure_and_differ() -> None:
    assert units_agree("feet", "ft") and units_agree("apples", "cm") and units_agree("", "cm")
    assert not units_agree("cm", "m")


def test_a_unit_may_be_a_power_or_a_rate() -> None:
    square, rate = read_unit("sq. ft."), read_unit("miles per hour")
    assert isinstance(square, Unit) and square == read_unit("feet^2") == read_unit("square feet")
    assert rate == read_unit("mph") and rate is not None and rate.dimension == "speed"
    assert read_unit("right triangles") is None
