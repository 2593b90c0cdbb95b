"""What the hybrid stage sees: problems in both modes, thoughts cut at a budget, a replay of the SFT mixture, and the
documents that were too long for it.

Rows are drawn by a hash of (seed, purpose, id) in two passes: the first notes a number and a hash of each row that
could be drawn, the second makes documents of those that were. No pass holds rows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from data_filters.errors import UserError
from data_filters.outputs import read_kept_segment
from data_filters.samples import Mode, Sample
from data_filters.segments import Segment
from hermes_train.chat.history import cut_thought, without_thought
from hermes_train.packing.documents import DocumentMaker, Tally
from hermes_train.packing.mixture import lowest
from hermes_train.packing.rows import MakerPlan, ShardTask, row_counts
from hermes_train.packing.shards import identity_hash, write_shard

_BATCH = 256


@dataclass(frozen=True)
class HybridPlan:
    """How many documents of each kind the stage takes."""

    paired_problems: int
    length_control: int
    replay: int


def plan_hybrid(problems: int, replay_share: float, length_share: float) -> HybridPlan:
    """Return the numbers of documents: two for each problem, and the shares of the whole for the rest."""
    total = 2 * problems / (1.0 - replay_share - length_share)
    return HybridPlan(problems, round(length_share * total), round(replay_share * total))


@dataclass(frozen=True)
class Thoughts:
    """The rows that have a thought: `rows` their numbers and `hashes` those of their ids.

    `past_budget` tells which thoughts have more tokens than the budget of length control.
    """

    rows: np.ndarray
    hashes: np.ndarray
    past_budget: np.ndarray


@dataclass(frozen=True)
class ThoughtsTask:
    """A part of the kept rows to be looked through; `budget` is in tokens, None for no length control."""

    plan: MakerPlan
    segment: Segment
    budget: int | None


def find_thoughts(task: ThoughtsTask) -> Thoughts:
    """Return the rows of a segment that have a thought."""
    rows: list[int] = []
    hashes: list[int] = []
    past_budget: list[bool] = []
    thinking = (item for item in read_kept_segment(task.segment) if item[1].mode is Mode.THINK)
    while batch := list(islice(thinking, _BATCH)):
        rows += [number for number, _ in batch]
        hashes += [identity_hash(sample.id) for _, sample in batch]
        thoughts = [sample.answer.reasoning or "" for _, sample in batch]
        past_budget += _past_budget(thoughts, task.budget, task.plan)
    return Thoughts(np.asarray(rows, np.int64), np.asarray(hashes, np.uint64), np.asarray(past_budget, bool))


def _past_budget(thoughts: list[str], budget: int | None, plan: MakerPlan) -> list[bool]:
    if budget is None:
        return [False] * len(thoughts)
    # A token holds a byte at least, so that most thoughts need no tokenizer to be told short.
    could_be = [len(thought.encode()) > budget for thought in thoughts]
    counted = [thought for thought, is_long in zip(thoughts, could_be, strict=True) if is_long]
    tokens = iter(plan.maker().count_tokens(counted) if counted else [])
    return [is_long and next(tokens) > budget for is_long in could_be]


@dataclass(frozen=True)
class DrawnRows:
    """The rows that the stage takes, by number, ascending: in both modes, and cut at the budget."""

    paired: np.ndarray
    cut: np.ndarray

    def within(self, segment: Segment, end: int) -> DrawnRows:
        """Return those of a segment; `end` is the number of the row after its last."""
        return DrawnRows(
            *(numbers[(numbers >= segment.number) & (numbers < end)] for numbers in (self.paired, self.cut))
        )

    def __len__(self) -> int:
        return len(self.paired) + len(self.cut)


def draw_rows(found: Iterable[Thoughts], plan: HybridPlan, budget: int | None, seed: int) -> DrawnRows:
    """Return the rows that the stage takes. Raises UserError when there is no thought, or none past the budget:
    the stage would silently teach nothing about modes or length."""
    # As the rows come, whatever the order in which the parts were done: ids may be equal, and so their hashes.
    parts = sorted((part for part in found if len(part.rows)), key=lambda part: int(part.rows[0]))
    rows, hashes, past_budget = (
        np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, np.int64)])
        for name in ("rows", "hashes", "past_budget")
    )
    if not len(rows):
        raise UserError(
            "the hybrid stage pairs each thought with a direct answer, but no kept row has a thought"
        )
    long = past_budget.astype(bool)
    if plan.length_control and not long.any():
        raise UserError(
            f"hybrid.length_control.budget is {budget} tokens, but none of the {len(rows)} kept thoughts is longer; "
            "lower the budget or leave length_control out"
        )
    paired = lowest(hashes.astype(np.uint64), plan.paired_problems, purpose_seed(seed, "paired"))
    cut = lowest(hashes[long].astype(np.uint64), plan.length_control, purpose_seed(seed, "cut"))
    return DrawnRows(np.sort(rows[paired]), np.sort(rows[long][cut]))


def purpose_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each thing that is drawn, 0..2**64 - 1."""
    return identity_hash(f"{seed} {purpose}")


@dataclass(frozen=True)
class HybridTask:
    """One shard of the stage's own documents: those of the rows drawn from a segment."""

    shard: ShardTask
    drawn: DrawnRows
    budget: int | None


def make_hybrid_shard(task: HybridTask) -> None:
    """Write the shard of a task."""
    shard = task.shard
    maker, tally = shard.plan.maker(), Tally()
    documents = maker.documents(_drawn_samples(task, maker), shard.plan.pack.history, shard.length, tally)
    write_shard(shard.folder, shard.number, documents, lambda: row_counts(tally, Counter()))


def _drawn_samples(task: HybridTask, maker: DocumentMaker) -> Iterator[Sample]:
    """Yield for each drawn row its thinking sample and its direct twin: same problem, same answer, no thought; and
    the sample with its thought cut at the budget."""
    paired, cut = set(task.drawn.paired.tolist()), set(task.drawn.cut.tolist())
    for number, sample in read_kept_segment(task.shard.segment):
        if number in paired:
            yield sample
            yield without_thought(sample)
        if number in cut:
            assert task.budget is not None, "rows are cut at a budget"
            yield cut_thought(sample, first_tokens(sample.answer.reasoning or "", task.budget, maker))


def first_tokens(text: str, budget: int, maker: DocumentMaker) -> str:
    """Return the text of the first `budget` tokens, cut where whole characters end; the text must be longer."""
    encoded = maker.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return text[: encoded["offset_mapping"][budget][0]].rstrip()


def hybrid_tasks(
    plan: MakerPlan,
    segments: Sequence[Segment],
    drawn: DrawnRows,
    budget: int | None,
    folder: Path,
    length: int,
) -> list[HybridTask]:
    """Return a task for each segment with a drawn row, for shards numbered from 0."""
    ends = [segment.number for segment in segments[1:]] + [sys.maxsize]
    found = [
        (segment, within)
        for segment, end in zip(segments, ends, strict=True)
        if len(within := drawn.within(segment, end))
    ]
    return [
        HybridTask(ShardTask(plan, segment, folder, number, length), within, budget)
        for number, (segment, within) in enumerate(found)
    ]
