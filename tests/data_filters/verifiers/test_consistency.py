"""A thought agrees with itself and with the answer, in numbers and in letters of a choice."""

import pytest

from data_filters.samples import Outcome
from data_filters.verifiers.consistency import check


def test_a_wrong_step_is_named_in_the_detail() -> None:
    found = check("2 + 2 = 4. 4 + 4 = 9.", None)

    assert (found.outcome, found.reason, found.detail) == (Outcome.REFUTED, "thought_wrong_step", "4 + 4 = 9")


def test_a_thought_that_concludes_another_number_than_the_answer_is_refuted() -> None:
    answer = r"The answer is $\boxed{5}$."

    assert check("2 + 2 = 4. So the answer is 4.", answer).reason == "thought_other_conclusion"
    assert check("2 + 3 = 5. So the answer is 5.", answer).reason == "thought_consistent"
    assert check("2 + 2 = 4.", answer).reason == "thought_consistent"
    assert check("2 + 2 = 4. So the answer is 4.", None).reason == "thought_consistent"


@pytest.mark.parametrize(
    ("thought", "answer", "reason"),
    [
        ("So the answer is (B).", "The answer is (B).", "thought_consistent"),
        ("So the answer is (B).", r"\boxed{C}", "thought_other_conclusion"),
        (r"So it is \boxed{\text{A}}.", "The answer is A.", "thought_consistent"),
        ("So the answer is 1/2.", r"\boxed{0.5}", "thought_consistent"),
        ("So the answer is 5 cm.", r"\boxed{5}", "thought_consistent"),
        ("So the answer is blue.", r"\boxed{red}", "thought_consistent"),
    ],
)
def test_a_conclusion_is_held_against_the_answer_where_both_can_be_read(
    thought: str, answer: str, reason: str
) -> None:
    assert check(thought, answer).reason == reason


def test_what_the_thought_announced_long_before_its_end_does_not_count() -> None:
    taken_back = "The answer is 4. " + "But let me look at the second half again. " * 10

    assert check(taken_back, r"\boxed{5}").reason == "thought_consistent"
