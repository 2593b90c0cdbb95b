"""Math answers of public data sets: what is right is verified, in many ways of writing; what is changed is not."""

import gzip
import itertools
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from data_filters.samples import Check, MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers.math import answers as math_check
from data_filters.verifiers.math import pool as math_pool

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
rewrites = import_module("math_rewrites")
Case = rewrites.Case

pytestmark = pytest.mark.real_data

SETTINGS = VerifySettings()
SAME_BY_POLICY = {
    ("5", "x=5"),
    ("8", "K=8"),
    ("25\\%", "25"),
    ("10\\%", "10"),
    ("40", "40\\%"),
    ("6", "6\\%"),
    ("120", "120^\\circ"),
    ("30", "30^\\circ"),
    ("18 \\text{ degrees}", "18"),
    ("840", "840\\text{ square inches}"),
    ("21\\text{ dogs}", "21"),
    ("7", "12_5"),
    ("10001_2", "17"),
    ("1_7", "1_8"),
    ("1_6", "1_7"),
}
"""Pairs that changing or shuffling brought together and that are the same answer: a name, a percent sign or a unit left
off, the same value in another base."""


@pytest.fixture(autouse=True, scope="module")
def _worker() -> Iterator[None]:
    math_pool.shared_worker().start()
    yield
    math_pool.close()


@pytest.fixture(scope="module")
def golds(shared_data: Path) -> list[str]:
    """The answers of MATH-500 and of the training set; four rows of the training set have none."""
    return rewrites.math_answers(shared_data / "math")


def judged(case: Any) -> Check:
    return math_check.check(MathTask(case.gold), case.content, None, SETTINGS)


def rows(path: Path) -> list[dict[str, Any]]:
    packed = path.read_bytes()
    plain = gzip.decompress(packed) if path.suffix == ".gz" else packed
    return [json.loads(line) for line in plain.splitlines()]


def test_at_most_one_in_a_thousand_rewritten_answers_is_not_accepted(golds: list[str]) -> None:
    assert len(golds) > 7900
    rejected = []
    count = 0
    for case in rewrites.cases(golds, rewrites.SAME):
        count += 1
        if judged(case).outcome != Outcome.VERIFIED:
            rejected.append((case.kind, case.gold))

    assert count > 70_000
    assert len(rejected) <= 0.001 * count, rejected


@pytest.mark.long
def test_no_changed_or_foreign_answer_is_accepted(golds: list[str]) -> None:
    accepted = set()
    count = failed = 0
    for case in itertools.chain(
        rewrites.cases(golds, rewrites.CHANGED), rewrites.shuffled_pairs(golds, (1, 17, 2503))
    ):
        count += 1
        found = judged(case)
        failed += found.outcome == Outcome.FAILED
        if found.outcome == Outcome.VERIFIED:
            accepted.add((case.gold, case.content.removesuffix("}$.").split("\\boxed{", 1)[1]))

    assert count > 40_000
    assert accepted == SAME_BY_POLICY
    assert failed <= 0.0005 * count


def test_every_human_label_of_gsm8k_is_agreed_with(shared_data: Path) -> None:
    differing = []
    count = 0
    for row in rows(shared_data / "math/gsm8k_labelled_solutions_6b.jsonl.gz"):
        gold = row["ground_truth"].rsplit("A:", 1)[1].strip()
        for model in ("6b_finetuning", "6b_verification"):
            found = judged(Case(model, gold, row[model]["solution"]))
            count += 1
            if (found.outcome == Outcome.VERIFIED) != row[model]["is_correct"]:
                differing.append((gold, row[model]["solution"][-80:], found.reason))

    assert count == 2638
    assert differing == []


def test_every_solution_of_math500_and_gsm8k_is_verified_against_its_answer(shared_data: Path) -> None:
    wrong = []
    for row in rows(shared_data / "math/math500.jsonl"):
        found = judged(Case("math500", row["answer"], row["solution"]))
        if found.outcome != Outcome.VERIFIED:
            wrong.append((row["answer"], found.reason))
    for row in rows(shared_data / "math/gsm8k_test.jsonl"):
        solution, _, gold = row["answer"].rpartition("#### ")
        found = judged(Case("gsm8k", gold, f"{solution}#### {gold}"))
        if found.outcome != Outcome.VERIFIED:
            wrong.append((gold, found.reason))

    assert wrong == []


def test_the_solutions_of_aime_are_verified_against_their_answers(shared_data: Path) -> None:
    with gzip.open(shared_data / "math/aime_1983_2023.json.gz", "rt") as file:
        problems = [row for row in json.load(file) if "\\boxed" in row["solution"]]
    refuted = [
        (row["answer"], row["solution"][-80:])
        for row in problems
        if judged(Case("aime", row["answer"], row["solution"])).outcome != Outcome.VERIFIED
    ]

    assert len(problems) > 300
    # The remaining solutions end with the problem's other wording, or say another form of the answer.
    assert len(refuted) <= 0.02 * len(problems), refuted
