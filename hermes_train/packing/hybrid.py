"""What the hybrid stage sees of the kept rows: problems in both modes, thoughts cut at a budget, prompts on which the
model is to think anew, a replay of the SFT mixture, and the documents that were too long for it.

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
from typing import TypeGuard

import msgspec
import numpy as np
from transformers import PreTrainedTokenizerFast

from data_filters.errors import UserError
from data_filters.files import read_jsonl, write_jsonl
from data_filters.outputs import read_kept_segment
from data_filters.samples import Mode, Sample
from data_filters.segments import Segment
from hermes_train.chat.history import cut_thought, untrained, without_thought
from hermes_train.packing.documents import DocumentMaker, Tally
from hermes_train.packing.held_out import HeldOut
from hermes_train.packing.mixture import lowest, ranks
from hermes_train.packing.pack_index import build_index
from hermes_train.packing.rows import MakerPlan, ShardTask, row_counts
from hermes_train.packing.shards import identity_hash, write_shard
from hermes_train.packing.store import PackIndex, TokenStore
from hermes_train.packing.trained_thoughts import BudgetGuard, ThoughtRuler, within_budget
from hermes_train.recipe.training_sections import HybridSection, LengthControl

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

    `past_budget` tells which thoughts have more tokens than the budget of length control, `asked` which are of a source
    whose prompts the model is to think on anew.
    """

    rows: np.ndarray
    hashes: np.ndarray
    past_budget: np.ndarray
    asked: np.ndarray


@dataclass(frozen=True)
class ThoughtsTask:
    """A part of the kept rows to be looked through."""

    plan: MakerPlan
    segment: Segment
    control: LengthControl | None


def find_thoughts(task: ThoughtsTask) -> Thoughts:
    """Return the rows of a segment that have a thought, those aside that are held out."""
    rows: list[int] = []
    hashes: list[int] = []
    past_budget: list[bool] = []
    asked: list[bool] = []
    budget = task.control.budget if task.control else None
    sources = task.control.sources if task.control else None
    held_out = HeldOut(task.plan.pack.held_out, task.plan.seed)
    thinking = (
        (number, sample)
        for number, sample in read_kept_segment(task.segment)
        if sample.mode is Mode.THINK and not held_out.has(sample.id)
    )
    while batch := list(islice(thinking, _BATCH)):
        rows += [number for number, _ in batch]
        hashes += [identity_hash(sample.id) for _, sample in batch]
        thoughts = [sample.answer.reasoning or "" for _, sample in batch]
        past_budget += _past_budget(thoughts, budget, task.plan)
        asked += [sources is None or sample.source in sources for _, sample in batch]
    return Thoughts(
        np.asarray(rows, np.int64),
        np.asarray(hashes, np.uint64),
        np.asarray(past_budget, bool),
        np.asarray(asked, bool),
    )


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
    """The rows that the stage takes, by number, ascending: in both modes, cut at the budget, and as prompts."""

    paired: np.ndarray
    cut: np.ndarray
    prompts: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three kinds of rows, in the order of the fields."""
        return self.paired, self.cut, self.prompts

    def within(self, segment: Segment, end: int) -> DrawnRows:
        """Return those of a segment; `end` is the number of the row after its last."""
        return DrawnRows(*(numbers[(numbers >= segment.number) & (numbers < end)] for numbers in self.parts))

    def __len__(self) -> int:
        return sum(map(len, self.parts))


def count_pairable(found: Iterable[Thoughts], control: LengthControl | None) -> int:
    """Return how many of the thoughts may be trained, and so be paired with a direct answer."""
    return sum(int(_pairable(part.past_budget, control).sum()) for part in found)


def _pairable(past_budget: np.ndarray, control: LengthControl | None) -> np.ndarray:
    """Return which thoughts may be trained, bool: with length control none that passes the budget."""
    return ~past_budget if _keeps_long_thoughts_out(control) else np.ones(len(past_budget), bool)


def _keeps_long_thoughts_out(control: LengthControl | None) -> TypeGuard[LengthControl]:
    return control is not None and control.trained == "close"


def draw_rows(
    found: Iterable[Thoughts], plan: HybridPlan, control: LengthControl | None, seed: int
) -> DrawnRows:
    """Return the rows that the stage takes. Raises UserError when there is no thought to pair, none past the budget
    that could be cut, or none to think on anew: the stage would silently teach nothing about modes or length."""
    # As the rows come, whatever the order in which the parts were done: ids may be equal, and so their hashes.
    parts = sorted((part for part in found if len(part.rows)), key=lambda part: int(part.rows[0]))
    rows, hashes, past_budget, asked = (
        np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, np.int64)])
        for name in ("rows", "hashes", "past_budget", "asked")
    )
    if not len(rows):
        raise UserError(
            "the hybrid stage pairs each thought with a direct answer, but no kept row has a thought"
        )

    def drawn(among: np.ndarray, count: int, purpose: str) -> np.ndarray:
        places = np.flatnonzero(among)
        chosen = lowest(hashes[places].astype(np.uint64), count, purpose_seed(seed, purpose))
        return np.sort(rows[places[chosen]])

    long = past_budget.astype(bool)
    pairable = _pairable(long, control)
    if control is None:
        none = np.empty(0, np.int64)
        return DrawnRows(drawn(pairable, plan.paired_problems, "paired"), none, none)
    _require_thoughts(control, plan, long, asked.astype(bool))
    kept = control.thoughts == "kept"
    return DrawnRows(
        drawn(pairable, plan.paired_problems, "paired"),
        drawn(long, plan.length_control if kept else 0, "cut"),
        drawn(asked.astype(bool), 0 if kept or not plan.length_control else control.prompts, "prompts"),
    )


def _require_thoughts(control: LengthControl, plan: HybridPlan, long: np.ndarray, asked: np.ndarray) -> None:
    budget = control.budget
    if control.trained == "close" and long.all():
        raise UserError(
            f"each of the {len(long)} kept thoughts is longer than hybrid.length_control.budget ({budget} tokens), so "
            "that none may be trained in the hybrid stage; raise the budget or add sources with shorter thoughts"
        )
    if not plan.length_control:
        return
    if control.thoughts == "kept" and not long.any():
        raise UserError(
            f"hybrid.length_control.budget is {budget} tokens, but none of the {len(long)} kept thoughts is longer; "
            "lower the budget, take thoughts: sampled or leave length_control out"
        )
    if control.thoughts == "sampled" and not asked.any():
        raise UserError(
            f"hybrid.length_control.sources is {', '.join(control.sources or ())}, but no kept row of these has a "
            "thought; name other sources or leave sources out"
        )


def draw_replay(
    store: TokenStore,
    mixture: np.ndarray,
    count: int,
    control: LengthControl | None,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
) -> np.ndarray:
    """Return the numbers of `count` documents of the mixture that are seen again, ascending; fewer where it has fewer
    that may be trained: with length control, none that trains a thought past the budget."""
    order = mixture[np.argsort(ranks(store.hashes()[mixture], purpose_seed(seed, "replay")), kind="stable")]
    allowed: Iterator[int] = iter(order.tolist())
    if _keeps_long_thoughts_out(control):
        # In the order of the draw, so that only what could be drawn is measured.
        allowed = filter(BudgetGuard(store, ThoughtRuler(tokenizer), control.budget).lets_in, allowed)
    return np.sort(np.fromiter(islice(allowed, count), np.int64))


def purpose_seed(seed: int, purpose: str) -> int:
    """Return a seed of its own for each thing that is drawn, 0..2**64 - 1."""
    return identity_hash(f"{seed} {purpose}")


@dataclass(frozen=True)
class HybridTask:
    """One shard of the stage's own documents: those of the rows drawn from a segment."""

    shard: ShardTask
    drawn: DrawnRows
    control: LengthControl | None


def make_hybrid_shard(task: HybridTask) -> None:
    """Write the shard of a task, and before it the prompts drawn from its segment."""
    shard = task.shard
    if len(task.drawn.prompts):
        write_jsonl(prompts_path(shard.folder, shard.number), _drawn_prompts(task))
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
            assert task.control is not None, "rows are cut at a budget"
            thought = first_tokens(sample.answer.reasoning or "", task.control.budget, maker)
            yield trained_as(cut_thought(sample, thought), task.control)


def trained_as(row: Sample, control: LengthControl) -> Sample:
    """Return a row of length control with that of it trained that the recipe says."""
    if control.trained == "close":
        return row
    *before, answer = row.messages
    return msgspec.structs.replace(row, messages=[*before, msgspec.structs.replace(answer, train="all")])


def _drawn_prompts(task: HybridTask) -> Iterator[Sample]:
    wanted = set(task.drawn.prompts.tolist())
    for number, sample in read_kept_segment(task.shard.segment):
        if number in wanted:
            yield msgspec.structs.replace(sample, messages=untrained(sample.prompt))


def prompts_path(folder: Path, number: int) -> Path:
    """Return where the prompts drawn with a shard lie."""
    return folder / f"prompts-{number:05d}.jsonl"


def read_prompts(folder: Path) -> Iterator[Sample]:
    """Yield the prompts on which the model is to think anew, in the order of the kept rows."""
    for file in sorted(folder.glob("prompts-*.jsonl")):
        yield from (msgspec.convert(row, Sample) for row in read_jsonl(file))


def first_tokens(text: str, budget: int, maker: DocumentMaker) -> str:
    """Return the text of the first `budget` tokens, cut where whole characters end; the text must be longer."""
    encoded = maker.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return text[: encoded["offset_mapping"][budget][0]].rstrip()


def hybrid_tasks(
    plan: MakerPlan,
    segments: Sequence[Segment],
    drawn: DrawnRows,
    control: LengthControl | None,
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
        HybridTask(ShardTask(plan, segment, folder, number, length), within, control)
        for number, (segment, within) in enumerate(found)
    ]


@dataclass(frozen=True)
class HybridPacks:
    """The packs of the stage, and how many documents the budget kept out of them."""

    index: PackIndex
    past_budget: int


def hybrid_packs(
    store: TokenStore, tokenizer: PreTrainedTokenizerFast, section: HybridSection, length: int, seed: int
) -> HybridPacks:
    """Return the packs of all documents that may be trained: with length control, none whose trained thought is longer
    than the budget, unless the recipe says so. Raises UserError where there are too few for the global batch."""
    control = section.length_control
    allowed = np.ones(len(store), bool)
    if _keeps_long_thoughts_out(control):
        allowed = within_budget(store, ThoughtRuler(tokenizer), control.budget)
    index = build_index(store.lengths(), np.flatnonzero(allowed), length, section.global_batch, seed)
    return HybridPacks(index, int((~allowed).sum()))
