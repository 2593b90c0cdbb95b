"""Published programming problems: every reference solution verifies, every broken one is refuted.

The candidates run apart from their tests, with all layers of the sandbox that the machine offers.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import pytest

from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.samples import Check, CodeTask, InputOutput, Outcome, Sample
from data_filters.sandbox import pool
from data_filters.settings import CodeSettings, Source
from data_filters.verifiers.code import check

pytestmark = [pytest.mark.real_data, pytest.mark.long]

SETS = {
    "HumanEval.jsonl.gz": 164,
    "HumanEvalPlus-OriginFmt.jsonl.gz": 164,
    "MbppPlus-OriginFmt.jsonl.gz": 378,
    "leetcode_train.json.gz": 1889,
}
NOT_VERIFIED = {
    # Its test unpacks the one number that the function returns, and so fails for every answer.
    "HumanEvalPlus-OriginFmt.jsonl.gz/32": "code_wrong_answer",
    # A test asks for 1.7 million tuples of 77 values.
    "MbppPlus-OriginFmt.jsonl.gz/119": "code_memory",
    # They compare, but assert nothing: every answer would pass.
    "MbppPlus-OriginFmt.jsonl.gz/318": "code_tests_broken",
    "MbppPlus-OriginFmt.jsonl.gz/358": "code_tests_broken",
    "MbppPlus-OriginFmt.jsonl.gz/364": "code_tests_broken",
}
SLOW = {"MbppPlus-OriginFmt.jsonl.gz/268"}
"""Adds up numbers to a hundred million, several times."""

BREAK = """

def _broken(function, depth=[0]):
    def broken(*args, **kwargs):
        depth[0] += 1
        try:
            result = function(*args, **kwargs)
        finally:
            depth[0] -= 1
        return result if depth[0] else _off_by_one(result)
    return broken

def _off_by_one(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float, complex)):
        return value + 1 if value - value == 0 else 0
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, (list, tuple)):
        return type(value)([_off_by_one(value[0]), *value[1:]] if value else [1])
    if isinstance(value, (set, frozenset)):
        return value | {"one more"}
    if isinstance(value, dict):
        return value | {"one more": 1}
    if hasattr(value, "val"):
        value.val = _off_by_one(value.val)
        return value
    return 1

def _break():
    for place in [globals(), *(v for v in globals().values() if isinstance(v, type))]:
        for name, value in list((place if isinstance(place, dict) else vars(place)).items()):
            if type(value) is type(_off_by_one) and value.__code__.co_filename == "<answer>" and value not in OWN:
                changed = HOW(value)
                place.__setitem__(name, changed) if isinstance(place, dict) else setattr(place, name, changed)

OWN = [_broken, _off_by_one, _break]
_break()
"""
BROKEN = {
    "returns_none": "(lambda function: lambda *args, **kwargs: None)",
    "raises": "(lambda function: lambda *args, **kwargs: 1 / 0)",
    "off_by_one": "_broken",
}


Judge = Callable[[list[Sample], list[str], list[CodeSettings]], list[Check]]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """Judges many answers on all cores."""
    workers = ProcessPoolExecutor(os.cpu_count(), get_context("fork"))

    def judged(samples: list[Sample], answers: list[str], settings: list[CodeSettings]) -> list[Check]:
        tasks = [sample.task for sample in samples]
        return list(workers.map(check, tasks, answers, settings, chunksize=4))

    yield judged
    workers.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _sandboxes() -> Iterator[None]:
    yield
    pool.close()


@cache
def problems(path: Path) -> list[tuple[str, Sample]]:
    source = Source(name=path.name, path=str(path))
    return [(f"{path.name}/{number}", parse_row(row, source, number)) for number, row in read_rows(source)]


@pytest.mark.parametrize("name", SETS)
def test_every_reference_solution_verifies_apart_from_its_tests(
    shared_data: Path, judge: Judge, name: str
) -> None:
    rows = problems(shared_data / "code" / name)
    assert len(rows) == SETS[name]

    checks = judge(
        [sample for _, sample in rows],
        [sample.answer.content for _, sample in rows],
        [
            CodeSettings(seconds=120, wall_seconds=240) if place in SLOW else CodeSettings()
            for place, _ in rows
        ],
    )

    reasons = {place: found.reason for (place, _), found in zip(rows, checks, strict=True)}
    differing = {place: reason for place, reason in reasons.items() if reason != "code_correct"}
    assert differing == {place: reason for place, reason in NOT_VERIFIED.items() if place.startswith(name)}


@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("name", SETS)
def test_every_broken_solution_is_refuted(shared_data: Path, judge: Judge, name: str, way: str) -> None:
    rows = problems(shared_data / "code" / name)
    broken = BREAK.replace("HOW", BROKEN[way]) + "```"

    checks = judge(
        [sample for _, sample in rows],
        [sample.answer.content.removesuffix("```") + broken for _, sample in rows],
        [CodeSettings(seconds=5)] * len(rows),
    )

    not_refuted = {
        place: found.reason
        for (place, _), found in zip(rows, checks, strict=True)
        if found.outcome != Outcome.REFUTED
    }
    broken_tests = {place for place, reason in NOT_VERIFIED.items() if reason == "code_tests_broken"}
    assert not_refuted == {place: "code_tests_broken" for place in broken_tests if place.startswith(name)}


def test_contest_programs_are_judged_by_what_they_print(shared_data: Path) -> None:
    path = shared_data / "code" / "samples" / "code_eval_code_contests.jsonl"
    for _, row in read_rows(Source(name="contests", path=str(path))):
        tests = [(test["input"]["stdin"], test["output"]["stdout"]) for test in json.loads(row["test"])][:5]
        task = CodeTask(io=[InputOutput(given, printed) for given, printed in tests])
        # The file has no solutions: a table of its own answers is one.
        table = f"import sys\nprint({dict(tests)!r}[sys.stdin.read()])"

        assert check(task, f"```python\n{table}\n```", CodeSettings()).reason == "code_correct"
        assert check(task, "```python\nprint('not it')\n```", CodeSettings()).reason == "code_wrong_answer"


def test_mbpp_samples_verify_and_are_refuted_when_broken(shared_data: Path) -> None:
    path = shared_data / "code" / "samples" / "code_eval_mbpp.jsonl"
    for _, row in read_rows(Source(name="mbpp", path=str(path))):
        task = CodeTask(tests=row["test_list"], setup=row["labels"]["test_setup_code"])
        code = row["canonical_solution"].replace("\r\n", "\n").rstrip()

        assert check(task, code, CodeSettings()).reason == "code_correct"
        for how in BROKEN.values():
            assert check(task, code + BREAK.replace("HOW", how), CodeSettings()).outcome == Outcome.REFUTED
