"""Refusals are told from answers by their wording."""

import csv
from pathlib import Path

import pytest

from data_filters.pairs import REFUSALS
from data_filters.verifiers.refusals import Refusal, find_refusal

DATA = Path(__file__).parents[3] / "../shared/data/refusals"
LABELS = {
    Refusal.FULL: "2_full_refusal",
    Refusal.PARTIAL: "3_partial_refusal",
    Refusal.NONE: "1_full_compliance",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_each_refusal_that_pairs_are_made_of_is_found(text: str) -> None:
    assert find_refusal(text).refusal == Refusal.FULL


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 42.",
        "You can kill a Python process with kill -9.",
        "I would not say that it cannot be done.",
        "Sorry to hear that. Water helps.",
        "",
    ],
)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert find_refusal(text).refusal == Refusal.NONE


def test_a_refusal_that_goes_on_to_help_is_partial_and_shows_the_deciding_words() -> None:
    found = find_refusal("I can't help with that. Here are safer ways:\n" + "1. Ask a doctor first.\n" * 30)

    assert (found.refusal, found.text) == (Refusal.PARTIAL, "I can't help")


@pytest.mark.real_data
@pytest.mark.parametrize(("model", "least"), [("gpt4", 0.92), ("llama2", 0.82)])
def test_the_human_labels_of_refusals_are_met(model: str, least: float) -> None:
    file = DATA / f"xstest_{model}_labels.csv"
    if not file.is_file():
        pytest.skip(f"no real data at {file}")

    with file.open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    agreeing = sum(LABELS[find_refusal(row["completion"]).refusal] == row["final_label"] for row in rows)

    assert agreeing / len(rows) >= least
