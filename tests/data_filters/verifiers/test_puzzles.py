"""Puzzles are scored by the data set that made them."""

import pytest
import reasoning_gym

from data_filters.samples import Outcome, PuzzleTask
from data_filters.verifiers.puzzles import check, puzzle_answer

ENTRY = dict(reasoning_gym.create_dataset("chain_sum", size=1, seed=7)[0])
TASK = PuzzleTask("chain_sum", ENTRY)


@pytest.mark.parametrize("form", ["{}", "<answer>{}</answer>", r"The answer is $\boxed{{{}}}$.", "#### {}"])
def test_a_right_answer_is_verified_in_each_form(form: str) -> None:
    assert check(TASK, form.format(ENTRY["answer"])).reason == "puzzle_correct"


def test_a_wrong_answer_is_refuted() -> None:
    assert check(TASK, str(int(ENTRY["answer"]) + 1)).reason == "puzzle_wrong_answer"


@pytest.mark.parametrize("text", ["", "  ", "<answer> </answer>"])
def test_an_answer_without_text_is_none(text: str) -> None:
    assert check(TASK, text).reason == "puzzle_no_answer"


def test_an_unknown_data_set_failed_and_refutes_nothing() -> None:
    found = check(PuzzleTask("no_such_puzzle", {}), "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "puzzle_not_usable")


def test_an_entry_that_breaks_the_scorer_failed_and_refutes_nothing() -> None:
    found = check(PuzzleTask("chain_sum", {}), "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "puzzle_scorer_crashed")


def test_the_last_tagged_answer_counts() -> None:
    assert puzzle_answer("<answer>1</answer> no: <answer> 2 </answer>") == "2"


def test_an_answer_that_would_take_for_ever_to_evaluate_failed_at_once() -> None:
    entry = {"question": "?", "answer": "1", "metadata": {"numbers": [9, 9, 9], "target": 1}}

    found = check(PuzzleTask("countdown", entry), "9**9**9**9")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "puzzle_too_large")
