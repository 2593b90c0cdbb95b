"""pack: kept rows into the documents, packs and pairs that the training stages read; training never tokenises.

What is made can be made again with the same bytes: a killed stage goes on where it was, and a stage whose mixture
alone changed keeps its documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data_filters.errors import UserError
from data_filters.outputs import kept_file, read_kept, read_rejected
from data_filters.pairs import build_pairs
from data_filters.settings import Source
from hermes_train.packing.bins import pack as pack_lengths
from hermes_train.packing.bins import round_up_to_multiple
from hermes_train.packing.hybrid import (
    ThoughtsTask,
    draw_rows,
    find_thoughts,
    hybrid_tasks,
    make_hybrid_shard,
    plan_hybrid,
    purpose_seed,
)
from hermes_train.packing.mixture import Part, Stock, lowest, mix
from hermes_train.packing.mixture_figures import mixture_figures
from hermes_train.packing.preferences import tokenize_pairs, write_pairs
from hermes_train.packing.rows import (
    MakerPlan,
    ShardTask,
    StorePlan,
    Workers,
    begin_store,
    declare_store,
    make_shard,
    name_of,
    open_plan,
    started_workers,
    unfinished,
)
from hermes_train.packing.shards import finished_shard, write_shard
from hermes_train.packing.store import PackIndex, TokenStore, seal_store
from hermes_train.recipe.schema import DpoSection, HybridSection, ModelSection, PackSection

Progress = Callable[[int, int], None]
"""Called with the number of finished parts of the work and the number of all."""

INDEX = "index.npz"


@dataclass(frozen=True)
class PackInputs:
    """What the stage reads: two folders of earlier stages, and the sections that say what each training stage sees."""

    prepared: Path
    filtered: Path
    model: ModelSection
    sources: Sequence[Source]
    pack: PackSection
    sft_global_batch: int
    hybrid: HybridSection
    dpo: DpoSection
    seed: int
    workers: int

    @property
    def maker_plan(self) -> MakerPlan:
        """Where the processes find what renders and tokenises."""
        return MakerPlan(self.prepared / "model", self.model, self.pack, self.seed)

    @property
    def hybrid_length(self) -> int:
        """Tokens in a pack of the hybrid stage."""
        return self.hybrid.length or self.pack.length


class _Ticks:
    """Counts parts of the work; `report` hears of each."""

    def __init__(self, report: Progress | None, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def tick(self, parts: int = 1) -> None:
        self._done += parts
        if self._report is not None:
            self._report(self._done, self._total)


def make_packs(inputs: PackInputs, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write `sft/`, `hybrid/` and `dpo/` under `folder`. Returns the stage's figures. Raises UserError."""
    kept = kept_file(inputs.filtered).resolve()
    if not kept.is_file() or next(read_kept(inputs.filtered), None) is None:
        raise UserError(f"the filter kept no row, so there is nothing to train on; see {inputs.filtered}")
    plan = open_plan(kept, inputs.maker_plan, _longest(inputs), folder / "sft")
    # The documents, the pass that looks for thoughts, the documents of the hybrid stage, the pairs.
    ticks = _Ticks(progress, 2 * len(plan.segments) + 2)
    with started_workers(inputs.workers) as workers:
        store = _documents(inputs, plan, folder / "sft", workers, ticks)
        sft, times = _sft_packs(inputs, store)
        hybrid = _hybrid_packs(inputs, plan, store, times, folder / "hybrid", workers, ticks)
    dpo = _dpo_pairs(inputs, folder / "dpo")
    ticks.tick()
    return {**sft, "hybrid": hybrid, "dpo": dpo}


def _longest(inputs: PackInputs) -> int:
    """Return the tokens of the longest document that any stage can take."""
    return inputs.hybrid_length if inputs.pack.too_long == "later" else inputs.pack.length


def _documents(
    inputs: PackInputs, plan: StorePlan, folder: Path, workers: Workers, ticks: _Ticks
) -> TokenStore:
    """Make the shards that are not there yet."""
    tasks = [
        ShardTask(inputs.maker_plan, segment, folder, number, _longest(inputs))
        for number, segment in enumerate(plan.segments)
    ]
    waiting = unfinished(tasks)
    ticks.tick(len(tasks) - len(waiting))
    workers.run(make_shard, waiting, ticks.tick)
    return seal_store(folder, len(tasks))


def _sft_packs(inputs: PackInputs, store: TokenStore) -> tuple[dict[str, Any], np.ndarray]:
    """Write the index of the SFT packs. Returns its figures, and how often each document is seen."""
    if not (store.lengths() <= inputs.pack.length).any():
        raise UserError(_why_none_fits(store, inputs.pack.length))
    by_name = {source.name: source for source in inputs.sources}
    stock, fitting = _stock(store, list(by_name)), np.flatnonzero(store.lengths() <= inputs.pack.length)
    parts = [
        Part(source.share, source.epochs, source.max_documents, source.max_tokens)
        for source in (by_name[name] for name in stock.names)
    ]
    by_tokens = inputs.pack.share_of == "tokens"
    times = np.zeros(len(store), np.int64)
    times[fitting] = mix(stock.only(fitting), parts, inputs.pack.think_share, by_tokens, inputs.seed)
    chosen = np.repeat(np.arange(len(store)), times)
    if not len(chosen):
        raise UserError(
            f"the mixture is empty: none of the {len(fitting)} documents is taken; see the shares, epochs and caps of "
            "data.sources and pack.think_share"
        )
    index = _index(store.lengths(), chosen, inputs.pack.length, inputs.sft_global_batch, inputs.seed)
    index.save(store.folder / INDEX)
    figures = mixture_figures(
        stock, store.label_tokens(), store.counts(), times, parts, inputs.pack, later=_later(store, inputs)
    )
    return _pack_figures(store, index) | figures, times


def _why_none_fits(store: TokenStore, length: int) -> str:
    dropped: Counter[str] = Counter()
    for part in store.counts():
        dropped.update(part.dropped)
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.most_common())
    return f"no row became a document of at most pack.length = {length} tokens; dropped: {reasons or 'none'}"


def _stock(store: TokenStore, names: Sequence[str]) -> Stock:
    """Return the documents with the names of all sources, those without a document too."""
    stock = store.stock()
    missing = [name for name in names if name not in stock.names]
    return Stock(stock.hashes, stock.sources, stock.modes, stock.tokens, (*stock.names, *missing))


def _later(store: TokenStore, inputs: PackInputs) -> np.ndarray:
    """Return the numbers of the documents that only the packs of the hybrid stage can take."""
    return np.flatnonzero(store.lengths() > inputs.pack.length)


def _index(lengths: np.ndarray, chosen: np.ndarray, length: int, global_batch: int, seed: int) -> PackIndex:
    # In random order, so that each pack is a sample of the mixture.
    chosen = np.random.default_rng(seed).permutation(chosen)
    order, starts = pack_lengths(lengths[chosen], length)
    try:
        order, starts = round_up_to_multiple(order, starts, lengths[chosen], global_batch)
    except ValueError as error:
        raise UserError(str(error)) from error
    return PackIndex(chosen[order], starts, length)


def _pack_figures(store: TokenStore, index: PackIndex) -> dict[str, Any]:
    lengths, labels = store.lengths()[index.order], store.label_tokens()[index.order]
    thinking = store.modes()[index.order] == 1
    counts, edges = np.histogram(lengths, bins=min(24, max(1, len(np.unique(lengths)))))
    return {
        "length": index.length,
        "packs": len(index),
        "documents": len(index.order),
        "tokens": int(lengths.sum()),
        "label_tokens": int(labels.sum()),
        "fill": float(lengths.sum() / (len(index) * index.length)),
        "think_tokens": int(lengths[thinking].sum()),
        "direct_tokens": int(lengths[~thinking].sum()),
        "length_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _hybrid_packs(
    inputs: PackInputs,
    plan: StorePlan,
    sft: TokenStore,
    times: np.ndarray,
    folder: Path,
    workers: Workers,
    ticks: _Ticks,
) -> dict[str, Any]:
    section, seed = inputs.hybrid, inputs.seed
    control = section.length_control
    budget = control.budget if control else None
    looking = [ThoughtsTask(inputs.maker_plan, segment, budget) for segment in plan.segments]
    found = workers.run(find_thoughts, looking, ticks.tick)
    thoughts = sum(len(part.rows) for part in found)
    wanted = plan_hybrid(min(section.problems, thoughts), section.replay, control.share if control else 0.0)
    drawn = draw_rows(found, wanted, budget, seed)

    mixture = np.flatnonzero(times)
    replayed = mixture[lowest(sft.hashes()[mixture], wanted.replay, purpose_seed(seed, "replay"))]
    later = _later(sft, inputs)
    fingerprint = name_of(
        [
            plan.fingerprint,
            inputs.hybrid_length,
            budget,
            *(numbers.tolist() for numbers in (drawn.paired, drawn.cut, replayed, later)),
        ]
    )
    if not begin_store(folder, fingerprint):
        declare_store(folder, fingerprint)
    tasks = hybrid_tasks(inputs.maker_plan, plan.segments, drawn, budget, folder, inputs.hybrid_length)
    waiting = [task for task in tasks if finished_shard(folder, task.shard.number) is None]
    workers.run(make_hybrid_shard, waiting, lambda: None)
    if finished_shard(folder, len(tasks)) is None:
        write_shard(folder, len(tasks), sft.documents([*replayed.tolist(), *later.tolist()]))
    store = seal_store(folder, len(tasks) + 1)
    index = _index(store.lengths(), np.arange(len(store)), inputs.hybrid_length, section.global_batch, seed)
    index.save(folder / INDEX)
    ticks.tick()
    return _pack_figures(store, index) | {
        "sources": msgspec.to_builtins(store.counts()),
        "paired_problems": len(drawn.paired),
        "length_control_documents": len(drawn.cut),
        "replayed_documents": len(replayed),
        "long_documents": len(later),
    }


def _dpo_pairs(inputs: PackInputs, folder: Path) -> dict[str, Any]:
    section = inputs.dpo
    pairs = build_pairs(
        read_kept(inputs.filtered),
        read_rejected(inputs.filtered),
        inputs.seed,
        section.refusals,
        section.pairs,
    )
    dropped: Counter[str] = Counter()
    rows = tokenize_pairs(pairs, inputs.maker_plan.maker(), section.max_length, dropped)
    found, written = write_pairs(rows, section.global_batch, folder)
    if not written:
        raise UserError(
            f"dpo has {found} pairs, fewer than its global_batch ({section.global_batch}); give more rows, a "
            "larger dpo.refusals or a smaller dpo.global_batch"
        )
    left_over = {"left_over": found - written.total()} if found > written.total() else {}
    return {"pairs": dict(written), "dropped": dict(dropped) | left_over}
