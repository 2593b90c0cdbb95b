"""Rows without a reference answer, judged by the answer that most traces of their prompt give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_filters.buckets import Buckets
from data_filters.changes import Change, Changes
from data_filters.samples import Mode, Outcome, Sample, Verdict
from data_filters.settings import MajoritySettings, VerifySettings
from data_filters.shards import RowLookup, Shards
from data_filters.verifiers.extraction import announced_answer
from data_filters.verifiers.majority import judge, majority_answer

_RECORD_TYPE = np.dtype([("prompt", "<u8", (2,)), ("number", "<u8")])
_CHANGES_HELD = 10_000


def waits_for_majority(sample: Sample, verdict: Verdict, settings: VerifySettings) -> bool:
    """Whether the other traces of its prompt decide on a row: a think row of sound form without a task."""
    return (
        settings.majority is not None
        and sample.task is None
        and sample.mode == Mode.THINK
        and verdict.outcome == Outcome.UNVERIFIED
    )


def judge_by_majority(
    shards: Shards, kept: np.ndarray, changes: Changes, scratch: Path, settings: VerifySettings
) -> None:
    """Judge every pending row: set its place in `kept`, and note the judgement in `changes`.

    Works on one bucket of prompts at a time, in files under `scratch`; the answers of one prompt's traces are in
    memory together.
    """
    assert settings.majority is not None, "no row is pending otherwise"
    keeps_undecided = settings.unverified.think == "keep"
    lookup = RowLookup(shards)
    held: defaultdict[int, list[Change]] = defaultdict(list)

    def flush() -> None:
        for task in sorted(held):
            changes.add(task, held.pop(task))

    for count, change in enumerate(_judgements(shards, lookup, scratch, settings.majority), 1):
        outcome = change.check.outcome
        kept[change.number] = outcome == Outcome.VERIFIED or (
            outcome == Outcome.UNVERIFIED and keeps_undecided
        )
        held[shards.task_of(change.number)].append(change)
        if count % _CHANGES_HELD == 0:
            flush()
    flush()
    lookup.close()


def _judgements(
    shards: Shards, lookup: RowLookup, scratch: Path, settings: MajoritySettings
) -> Iterator[Change]:
    for numbers in _prompts(shards, scratch):
        announced = [announced_answer(lookup.sample(number).answer.content) for number in numbers]
        # A number that merely stands at the end of a chat is no answer: only announced ones vote.
        majority = majority_answer([found.answer if found else None for found in announced], settings)
        for position, number in enumerate(numbers):
            yield Change(number, judge(majority, position))


def _prompts(shards: Shards, scratch: Path) -> Iterator[list[int]]:
    """The pending rows of each prompt, in order."""
    buckets = Buckets.for_keys(scratch / "prompts", _RECORD_TYPE, shards.rows)
    for index in map(shards.index, shards.tasks):
        records = index[index["pending"] == 1][["prompt", "number"]].astype(_RECORD_TYPE)
        buckets.add_by_key(records, records["prompt"][:, 0])
    for bucket in buckets:
        prompt, number = bucket["prompt"], bucket["number"]
        order = np.lexsort((number, prompt[:, 1], prompt[:, 0]))
        edges = np.flatnonzero((prompt[order][1:] != prompt[order][:-1]).any(axis=1)) + 1
        yield from (group.tolist() for group in np.split(number[order], edges) if len(group))
