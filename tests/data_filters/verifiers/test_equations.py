"""Wrong sums are found; what may be right is left alone; no text takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.equations import wrong_equations


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
        "1 + 1 = 2 and 2 + 2 = 5",
        "and 3 + 4 = 8",
        "A list: 14, 40 / 8 = 6",
        "$2.50 - $2.24 = 27 cents",
        "5 thousand: 5 * 3 = $16,000",
        "4080 + 4080 / 2 = 4000 + 2040",
        "2 + 2 = 4 = 5 - 2",
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
        "12 x 1 and 1/4 = 15",
        "$2.50 - $2.24 = 26 cents",
        "$1 / 2 = 50 cents",
        "5 thousand dollars, so 5 * 3 = $15,000",
        "10 pages on day 1 * 2 = 20 pages",
        "Subtract Weeks 3-4 from Weeks 1-2 = 96 - 70 = 26",
        "14, 400 / 80 = 180",
        ".8 + . 84 + .82 = 2.46",
        "1" * 5000 + " + 1 = 2",
        "2 \\times 3 \\div 4 = 1.5",
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
    assert all(" = " in wrong for wrong in wrong_equations(text))


@pytest.mark.parametrize(
    "unit",
    [
        "1 ",
        "1=",
        "= ",
        "(",
        "1 + 1 = 2 ",
        "1+",
        "1/1=",
        "** ",
        "$",
        "x 1 x ",
        "1" * 99 + "=",
        "\\times ",
        "1,",
        "a = ",
    ],
)
def test_a_quarter_of_a_megabyte_takes_linear_time(unit: str) -> None:
    started = time.process_time()

    list(wrong_equations(unit * (250_000 // len(unit)) + "="))

    assert time.process_time() - started < 3


@given(
    st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 99)), min_size=1, max_size=6),
    st.integers(-2, 2),
)
def test_a_longer_sum_is_wrong_exactly_when_its_result_is(links: list[tuple[str, int]], off: int) -> None:
    left = "50" + "".join(f" {sign} {number}" for sign, number in links)
    right = eval(left) + off
    if right < 0:
        return

    assert bool(list(wrong_equations(f"So {left} = {right}."))) == (off != 0)
