"""An answer has the asked form once, or it is said how not."""

import pytest

from data_filters.samples import AnswerFormatTask, Outcome
from data_filters.verifiers.answer_format import check


@pytest.mark.parametrize(
    ("task", "text", "reason"),
    [
        (AnswerFormatTask(format="boxed"), r"It is \boxed{4}.", "format_kept"),
        (AnswerFormatTask(format="boxed"), "It is 4.", "format_broken"),
        (AnswerFormatTask(format="boxed"), r"It is \boxed{4.", "format_broken"),
        (AnswerFormatTask(format="boxed"), r"It is \boxed{ }.", "format_broken"),
        (AnswerFormatTask(format="boxed"), r"\boxed{4} or \boxed{5}", "format_repeated"),
        (AnswerFormatTask(format="hash"), "Two and two.\n#### 4", "format_kept"),
        (AnswerFormatTask(format="hash"), "4", "format_broken"),
        (AnswerFormatTask(format="json"), '{"answer": 4}', "format_kept"),
        (AnswerFormatTask(format="json"), "answer: 4", "format_broken"),
        (AnswerFormatTask(pattern=r"^<answer>.*</answer>$"), "<answer>4</answer>", "format_kept"),
        (AnswerFormatTask(pattern=r"^<answer>.*</answer>$"), "4", "format_broken"),
    ],
)
def test_an_answer_is_judged_by_its_form(task: AnswerFormatTask, text: str, reason: str) -> None:
    assert check(task, text).reason == reason


@pytest.mark.parametrize(
    "task", [AnswerFormatTask(format="sonnet"), AnswerFormatTask(), AnswerFormatTask(pattern="(")]
)
def test_a_form_that_is_not_known_failed_and_refutes_nothing(task: AnswerFormatTask) -> None:
    found = check(task, "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "format_not_usable")
