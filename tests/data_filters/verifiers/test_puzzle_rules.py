"""What is kept from a scorer, and what full marks must also mean."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.puzzle_rules import breaks_rule, evaluate, hidden_from_scorer


@pytest.mark.parametrize(
    ("dataset", "right", "answer", "holds"),
    [
        ("coin_flip", "0.171875", "11/64", True),
        ("coin_flip", "0.171875", "0.1719", True),
        ("coin_flip", "0.171875", "0.1718", False),
        ("coin_flip", "0.171875", "0.17", False),
        ("decimal_arithmetic", "14.870", "14.87", True),
        ("decimal_arithmetic", "14.870", "14.871", False),
        ("number_format", "417691772.015", "417,691,772.015", True),
        ("number_format", "417691772.015", "4.17691772015e+08", True),
        ("number_format", "417691772.015", "417691772.01", False),
        ("fraction_simplification", r"$\frac{46}{81}$", r"\dfrac{46}{81}", True),
        ("fraction_simplification", r"$\frac{46}{81}$", r"\frac{46}{81} or 1", False),
        ("gsm_symbolic", "1090", "$1,090", True),
        ("gsm_symbolic", "1090", "not 1090", False),
        ("pool_matrix", "4.67 4.89", "4.667 4.889", True),
        ("pool_matrix", "4.67 4.89", "4.68 4.89", False),
        (
            "knights_knaves",
            "Mia is a knight, and Tom is a knave.",
            "Tom is a knave and Mia is a knight",
            True,
        ),
        (
            "knights_knaves",
            "Mia is a knight, and Tom is a knave.",
            "Tom is not a knave, Mia is a knight",
            False,
        ),
        ("sokoban", "UDLR", "UDLR", True),
        ("sokoban", "UDLR", "Up Down", False),
        ("kakurasu", "1 0\n0 1", "1 0\n0 1", True),
        ("kakurasu", "1 0\n0 1", "so 1 0\n0 1", False),
        ("time_intervals", "99 days", "99", True),
        ("time_intervals", "99 days", "99 hours", False),
        ("time_intervals", "06:09", "06:09", True),
        ("time_intervals", "06:09", "6 09", False),
    ],
)
def test_full_marks_also_mean_the_answer_itself(dataset: str, right: str, answer: str, holds: bool) -> None:
    assert (breaks_rule(dataset, answer, {"answer": right}) is None) is holds


def test_data_sets_with_sound_scorers_have_no_rule() -> None:
    assert breaks_rule("chain_sum", "anything", {"answer": "4"}) is None
    assert hidden_from_scorer("chain_sum", "__import__('os')", {"answer": "4"}) is None


@pytest.mark.parametrize(
    ("dataset", "answer", "is_hidden"),
    [
        ("simple_integration", "2*X**8 - (1/3)*X**5 + 5*X**2 + C", False),
        ("intermediate_integration", "-3*x*atan(2*x) + (3/4)*ln(1 + 4*x**2) + C", False),
        ("intermediate_integration", "exec(x)", True),
        ("intermediate_integration", "x.real", True),
        ("polynomial_multiplication", "6*x**2 - 3*x*y + 1.5", False),
        ("polynomial_multiplication", "__import__", True),
        ("spiral_matrix", "[1, 2, 3]", False),
        ("spiral_matrix", "print(1)", True),
        ("string_insertion", "['A', 'B']", False),
        ("bitwise_arithmetic", "0x23c8b81", False),
        ("bitwise_arithmetic", "9**9**9", True),
    ],
)
def test_only_plain_formulas_and_lists_are_shown_to_a_scorer_that_evaluates(
    dataset: str, answer: str, is_hidden: bool
) -> None:
    assert (hidden_from_scorer(dataset, answer, {}) is not None) is is_hidden


def test_what_an_entry_has_evaluated_is_looked_at_too() -> None:
    entry: dict[str, Any] = {"answer": "1", "metadata": {"integrand": "exec('x')"}}

    assert hidden_from_scorer("simple_integration", "x", entry) is not None


@given(st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 99)), min_size=1, max_size=6))
def test_arithmetic_is_worked_out_as_python_does(links: list[tuple[str, int]]) -> None:
    text = "0" + "".join(f" {sign} {number}" for sign, number in links)

    found = evaluate(text)

    assert found is not None
    assert found.value == Fraction(eval(text))
    assert found.numbers.total() == len(links) + 1


@pytest.mark.parametrize(
    "text", ["", "1 / 0", "2 ** 3", "f(1)", "True + 1", "1.5", "x", "((((", "1\n2", "9" * 5000]
)
def test_anything_else_than_plain_arithmetic_has_no_value(text: str) -> None:
    assert evaluate(text) is None


@given(st.text(max_size=40))
def test_any_text_is_worked_out_or_not_without_an_error(text: str) -> None:
    evaluate(text)
