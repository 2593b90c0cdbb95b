"""A majority is what most traces say, in whatever spelling, and nothing where two say as much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Outcome
from data_filters.settings import MajoritySettings
from data_filters.verifiers.majority import Agreement, judge, majority_answer

SETTINGS = MajoritySettings(min_traces=3, min_share=0.5)


@pytest.mark.parametrize(
    ("answers", "agreement", "members"),
    [
        (["4", "4", "5"], Agreement.MAJORITY, {0, 1}),
        (["4", "4.0", r"\frac{8}{2}", "5"], Agreement.MAJORITY, {0, 1, 2}),
        ([r"$\sqrt{2}$", r"\sqrt 2", "1.4"], Agreement.MAJORITY, {0, 1}),
        (["1,000", "1000", "$1000$"], Agreement.MAJORITY, {0, 1, 2}),
        (["Blue", "blue", "red"], Agreement.MAJORITY, {0, 1}),
        (["4", "4"], Agreement.TOO_FEW, set()),
        (["4", "4", None, ""], Agreement.TOO_FEW, set()),
        (["4", "4", "5", "5"], Agreement.NONE, set()),
        (["4", "4", "5", "6", "7"], Agreement.NONE, set()),
        (["4", "4", "4", None, None, None, None], Agreement.NONE, set()),
        (["4", "4", "4", "x" * 100_000], Agreement.MAJORITY, {0, 1, 2}),
        ([], Agreement.TOO_FEW, set()),
    ],
)
def test_the_majority_needs_traces_a_share_and_no_tie(
    answers: list[str | None], agreement: Agreement, members: set[int]
) -> None:
    found = majority_answer(answers, SETTINGS)

    assert (found.agreement, set(found.members)) == (agreement, members)


def test_each_trace_is_judged_by_the_majority() -> None:
    answers = ["4", "5", "4.0", None]
    found = majority_answer(answers, SETTINGS)

    checks = [judge(found, position) for position in range(len(answers))]

    assert [check.reason for check in checks] == [
        "majority_agrees",
        "majority_disagrees",
        "majority_agrees",
        "majority_disagrees",
    ]
    assert [check.outcome for check in checks[:2]] == [Outcome.VERIFIED, Outcome.REFUTED]


def test_without_a_majority_nothing_is_said_of_any_trace() -> None:
    check = judge(majority_answer(["4", "5", "6"], SETTINGS), 0)

    assert (check.outcome, check.reason) == (Outcome.UNVERIFIED, "majority_none")


@given(st.lists(st.none() | st.integers(0, 3), max_size=12), st.data())
def test_the_order_of_the_traces_does_not_matter(values: list[int | None], data: st.DataObject) -> None:
    answers = [None if value is None else str(value) for value in values]
    turned = data.draw(st.permutations(answers))

    first, second = majority_answer(answers, SETTINGS), majority_answer(turned, SETTINGS)

    assert (first.agreement, first.answer, first.share) == (second.agreement, second.answer, second.share)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=12))
def test_a_majority_has_more_traces_than_any_other_answer(values: list[int]) -> None:
    found = majority_answer(list(map(str, values)), SETTINGS)

    counts = sorted((values.count(value) for value in set(values)), reverse=True)
    clear = len(counts) == 1 or counts[0] > counts[1]
    assert (found.agreement == Agreement.MAJORITY) == (clear and counts[0] / len(values) >= 0.5)


@given(st.lists(st.text(max_size=10) | st.none(), max_size=8))
def test_any_answers_are_compared_without_an_error(answers: list[str | None]) -> None:
    assert majority_answer(answers, SETTINGS).agreement in Agreement
