"""Wrong sums are found; what may be right is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Outcome
from data_filters.verifiers.consistency import check, wrong_equations


@pytest.mark.parametrize(
    "text",
    [
        "12 + 7 = 20",
        "So 12 + 7 = 20.",
        "1 + 2 + 3 = 7",
        "2 * 3 = 6 + 1 = 7",
        "$3 x 4 = $13",
        "3 × 4 = 13",
        "3 \\times 4 = 13",
        "1,000 - 1 = 998",
        "0.5 * 3 = 1.6",
        "10 / 4 = 2.4",
        "(2 + 3) * 4 = 14",
        "10% * 50 = 6",
        "First 1 + 1 = 2, then 2 + 2 = 5.",
        "20 = 12 + 7",
        "3 + 4 = 8 apples",
        "12 \u2212 7 = 4",
    ],
)
def test_a_wrong_equation_is_found(text: str) -> None:
    assert len(list(wrong_equations(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "12 + 7 = 19",
        "1 + 2 + 3 = 3 + 3 = 6",
        "$1,000.50 - $0.50 = $1,000",
        "10 / 3 = 3.33",
        "10 / 3 = 3.3",
        "10 / 3 = 3",
        "2 / 3 = 0.667",
        "50 / 100 = 50%",
        "1 / 2 = 50%",
        "20% * 50 = 10",
        "80 - 10% = 72",
        "2 dozen + 3 + 4 = 31",
        "half of 6 + 4 = 5",
        "2x + 3 = 11",
        "2^3 + 1 = 9",
        "x - 3 + 4 = 10",
        "5k + 3k = 8k",
        "3 apples + 4 apples = 7 apples",
        "Week 2 = 35 + 35 = 70",
        "50 / 1 / 2 = 100",
        "Is 3 + 4 = 8?",
        "8:30 + 2 = 10:30",
        "a = 5",
        "3 + = 5",
        "1 / 0 = 7",
        "**12 + 7 = 19**",
    ],
)
def test_a_right_or_unsure_equation_is_left_alone(text: str) -> None:
    assert list(wrong_equations(text)) == []


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from("+-*"), st.integers(-3, 3))
def test_a_sum_of_two_whole_numbers_is_wrong_exactly_when_its_result_is(
    first: int, second: int, sign: str, off: int
) -> None:
    right = {"+": first + second, "-": first - second, "*": first * second}[sign]
    if right + off < 0:
        return

    assert bool(list(wrong_equations(f"So {first} {sign} {second} = {right + off}."))) == (
        off != 0 and right >= 0
    )


@given(st.text(alphabet="0123456789+-*/=()x.,%$ \nab", max_size=60))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert check(text, text).outcome in (Outcome.VERIFIED, Outcome.REFUTED)


def test_a_wrong_step_is_named_in_the_detail() -> None:
    found = check("2 + 2 = 4. 4 + 4 = 9.", None)

    assert (found.outcome, found.reason, found.detail) == (Outcome.REFUTED, "thought_wrong_step", "4 + 4 = 9")


def test_a_thought_that_concludes_another_number_than_the_answer_is_refuted() -> None:
    answer = r"The answer is $\boxed{5}$."

    assert check("2 + 2 = 4. So the answer is 4.", answer).reason == "thought_other_conclusion"
    assert check("2 + 3 = 5. So the answer is 5.", answer).reason == "thought_consistent"
    assert check("2 + 2 = 4.", answer).reason == "thought_consistent"
    assert check("2 + 2 = 4. So the answer is 4.", None).reason == "thought_consistent"
