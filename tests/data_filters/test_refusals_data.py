"""Refusals against people's labels, and against answers that refuse nothing."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from data_filters.files import read_jsonl
from data_filters.verifiers.refusals import Refusal, find_refusal

pytestmark = pytest.mark.real_data

LABELS = {
    "1_full_compliance": Refusal.NONE,
    "2_full_refusal": Refusal.FULL,
    "3_partial_refusal": Refusal.PARTIAL,
}


def held_out(prompt_id: str) -> bool:
    """Half of the prompts, whose answers were not looked at while the rules were written."""
    return hashlib.sha256(prompt_id.encode()).digest()[-1] % 2 == 1


def agreement(rows: Iterable[dict[str, str]]) -> float:
    agreeing = [find_refusal(row["completion"]).refusal == LABELS[row["final_label"]] for row in rows]
    return sum(agreeing) / len(agreeing)


@pytest.mark.parametrize(
    # What plain string matching reaches on all prompts: 92.4 % and 85.6 %.
    ("model", "least", "least_held_out"),
    [("gpt4", 0.955, 0.935), ("llama2", 0.88, 0.87)],
)
def test_people_are_agreed_with_more_than_string_matching_does(
    shared_data: Path, model: str, least: float, least_held_out: float
) -> None:
    with (shared_data / "refusals" / f"xstest_{model}_labels.csv").open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))

    assert len(rows) == 450
    assert agreement(rows) >= least
    assert agreement(row for row in rows if held_out(row["id"])) >= least_held_out


def test_solutions_and_chats_raise_no_false_alarm(shared_data: Path) -> None:
    solutions = [row["answer"] for row in read_jsonl(shared_data / "math" / "gsm8k_train.jsonl")]
    solutions += [row["solution"] for row in read_jsonl(shared_data / "math" / "math500.jsonl")]
    chats = json.loads((shared_data / "chat" / "sharegpt_demo.json").read_text("utf-8"))
    turns = [turn["value"] for chat in chats for turn in chat["conversations"] if turn["from"] == "gpt"]

    refusing = [text for text in solutions + turns if find_refusal(text).refusal != Refusal.NONE]

    assert len(solutions) == 7973
    assert len(turns) >= 900
    assert refusing == []
