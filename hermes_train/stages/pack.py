"""pack: kept rows into the documents, packs and pairs that the training stages read; training never tokenises.

The packs of the hybrid stage wait for what the model that SFT makes has to add to its documents.

What is made can be made again with the same bytes: a killed stage goes on where it was, and a stage whose mixture
alone changed keeps its documents.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data_filters.errors import UserError
from data_filters.executors.progress import Progress
from data_filters.executors.slurm_queue import end_other_arrays, wait_for_earlier
from data_filters.files import ASIDE_SUFFIX
from data_filters.outputs import kept_file, read_kept, read_rejected
from data_filters.pairs import PairChoice, build_pairs
from data_filters.pipeline import LOGS_FOLDER
from data_filters.samples import Sample
from data_filters.settings import EngineSettings, Source
from hermes_train.packing.held_out import HELD_OUT_INDEX, HeldOut, held_out_documents, held_out_packs
from hermes_train.packing.hybrid import (
    ThoughtsTask,
    count_pairable,
    draw_replay,
    draw_rows,
    find_thoughts,
    hybrid_packs,
    hybrid_tasks,
    make_hybrid_shard,
    plan_hybrid,
)
from hermes_train.packing.mixture import Part, Stock, mix
from hermes_train.packing.mixture_figures import mixture_figures
from hermes_train.packing.pack_index import INDEX, build_index, pack_figures
from hermes_train.packing.preferences import write_pairs
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
    store_fingerprint,
    unfinished,
)
from hermes_train.packing.shards import finished_shard, write_shard
from hermes_train.packing.store import TokenStore, seal_store
from hermes_train.recipe.schema import ModelSection, PackSection
from hermes_train.recipe.training_sections import DpoSection, HybridSection


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
    refusals_right_for: Sequence[str]
    seed: int
    workers: int
    """Processes on this machine."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    """With `executor: slurm` the documents of SFT are made by an array; this machine does the rest."""

    @property
    def maker_plan(self) -> MakerPlan:
        """Where the processes find what renders and tokenises."""
        return MakerPlan(self.prepared / "model", self.model, self.pack, self.seed)

    @property
    def held_out(self) -> HeldOut:
        """Which rows no stage trains."""
        return HeldOut(self.pack.held_out, self.seed)

    @property
    def hybrid_length(self) -> int:
        """Tokens in a pack of the hybrid stage."""
        return self.hybrid.length or self.pack.length


def processes_here(pack: PackSection, engine: EngineSettings, cores: int) -> int:
    """Return how many processes of this machine the stage may start.

    `pack.workers` are all here, unless they are the jobs of an array: then this machine does the rest with its cores.
    """
    if pack.workers is not None and engine.executor != "slurm":
        return pack.workers
    return min(pack.workers or engine.workers, cores)


class _Ticks:
    """Counts parts of the work; `report` hears of each."""

    def __init__(self, report: Progress | None, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def tick(self, parts: int = 1) -> None:
        self.reach(self._done + parts)

    def reach(self, done: int, _of: int = 0) -> None:
        self._done = done
        if self._report is not None:
            self._report(done, self._total)


def make_packs(inputs: PackInputs, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write `sft/`, `hybrid/` and `dpo/` under `folder`. Returns the stage's figures. Raises UserError."""
    kept = kept_file(inputs.filtered).resolve()
    if not kept.is_file() or next(read_kept(inputs.filtered), None) is None:
        raise UserError(f"the filter kept no row, so there is nothing to train on; see {inputs.filtered}")
    plan = _open_plan(inputs, kept, folder)
    # The documents, the pass that looks for thoughts, the documents of the hybrid stage, the pairs.
    ticks = _Ticks(progress, 2 * len(plan.segments) + 2)
    with started_workers(inputs.workers) as workers:
        store = _documents(inputs, plan, folder / "sft", workers, ticks)
        is_held_out = held_out_documents(store, inputs.held_out)
        sft, times = _sft_packs(inputs, store, is_held_out)
        held_out = _held_out_packs(inputs, store, is_held_out)
        documents = _SftDocuments(store, times, _later(store, inputs, is_held_out))
        hybrid = _hybrid_documents(inputs, plan, documents, folder / "hybrid", workers, ticks)
        dpo = _dpo_pairs(inputs, folder / "dpo", workers)
    ticks.tick()
    return {**sft, "held_out": held_out, "hybrid": hybrid, "dpo": dpo}


def _open_plan(inputs: PackInputs, kept: Path, folder: Path) -> StorePlan:
    """Return the plan of the documents of SFT, when no array of an earlier run is at work on them any more."""
    fingerprint = store_fingerprint(kept, inputs.maker_plan, _longest(inputs))
    logs = folder / LOGS_FOLDER
    end_other_arrays(logs, fingerprint if inputs.engine.executor == "slurm" else None)
    # Before the store is opened: that removes what is half written.
    wait_for_earlier(logs / fingerprint)
    for other in logs.glob("*"):
        if other.name != fingerprint:
            shutil.rmtree(other)
    return open_plan(kept, fingerprint, folder / "sft")


def _longest(inputs: PackInputs) -> int:
    """Return the tokens of the longest document that any stage can take."""
    return inputs.hybrid_length if inputs.pack.too_long == "later" else inputs.pack.length


def _documents(
    inputs: PackInputs, plan: StorePlan, folder: Path, workers: Workers, ticks: _Ticks
) -> TokenStore:
    """Make the shards that are not there yet."""
    if inputs.engine.executor == "slurm":
        # datatrove takes half a second to import; nothing else of this stage needs it.
        from hermes_train.packing.array import make_shards_in_array

        make_shards_in_array(
            inputs.maker_plan,
            folder,
            _longest(inputs),
            folder.parent / LOGS_FOLDER / plan.fingerprint,
            inputs.pack.workers or inputs.engine.workers,
            inputs.engine.slurm,
            ticks.reach,
        )
        return seal_store(folder, len(plan.segments))
    tasks = [
        ShardTask(inputs.maker_plan, segment, folder, number, _longest(inputs))
        for number, segment in enumerate(plan.segments)
    ]
    waiting = unfinished(tasks)
    ticks.tick(len(tasks) - len(waiting))
    workers.run(make_shard, waiting, ticks.tick)
    return seal_store(folder, len(tasks))


def _sft_packs(
    inputs: PackInputs, store: TokenStore, is_held_out: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Write the index of the SFT packs. Returns its figures, and how often each document is seen."""
    fits = store.lengths() <= inputs.pack.length
    if not fits.any():
        raise UserError(_why_none_fits(store, inputs.pack.length))
    by_name = {source.name: source for source in inputs.sources}
    stock, fitting = _stock(store, list(by_name)), np.flatnonzero(fits & ~is_held_out)
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
    index = build_index(store.lengths(), chosen, inputs.pack.length, inputs.sft_global_batch, inputs.seed)
    index.save(store.folder / INDEX)
    figures = mixture_figures(
        stock,
        store.label_tokens(),
        store.counts(),
        times,
        parts,
        inputs.pack,
        later=_later(store, inputs, is_held_out),
        held_out=np.flatnonzero(is_held_out),
    )
    return pack_figures(store, index) | figures, times


def _held_out_packs(inputs: PackInputs, store: TokenStore, is_held_out: np.ndarray) -> dict[str, Any] | None:
    """Write the index of the held-out packs. Returns its figures; None where the recipe holds nothing out."""
    file = store.folder / HELD_OUT_INDEX
    if not inputs.held_out.share:
        # What the folder holds of another recipe.
        file.unlink(missing_ok=True)
        return None
    index = held_out_packs(store, is_held_out, inputs.pack.length)
    index.save(file)
    return pack_figures(store, index)


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


def _later(store: TokenStore, inputs: PackInputs, is_held_out: np.ndarray) -> np.ndarray:
    """Return the numbers of the documents that only the packs of the hybrid stage can take."""
    return np.flatnonzero((store.lengths() > inputs.pack.length) & ~is_held_out)


@dataclass(frozen=True)
class _SftDocuments:
    """The documents of SFT, of which the hybrid stage sees some again."""

    store: TokenStore
    times: np.ndarray
    """How often SFT sees each document."""
    later: np.ndarray
    """The numbers of those that only the packs of the hybrid stage can take."""


def _hybrid_documents(
    inputs: PackInputs,
    plan: StorePlan,
    sft: _SftDocuments,
    folder: Path,
    workers: Workers,
    ticks: _Ticks,
) -> dict[str, Any]:
    section, seed = inputs.hybrid, inputs.seed
    control = section.length_control
    looking = [ThoughtsTask(inputs.maker_plan, segment, control) for segment in plan.segments]
    found = workers.run(find_thoughts, looking, ticks.tick)
    paired = min(section.problems, count_pairable(found, control))
    wanted = plan_hybrid(paired, section.replay, control.share if control else 0.0)
    drawn = draw_rows(found, wanted, control, seed)

    tokenizer = inputs.maker_plan.maker().tokenizer
    mixture = np.flatnonzero(sft.times)
    replayed = draw_replay(sft.store, mixture, wanted.replay, control, tokenizer, seed)
    fingerprint = name_of(
        [
            plan.fingerprint,
            inputs.hybrid_length,
            control and control.model_dump(mode="json", include={"budget", "trained"}),
            *(numbers.tolist() for numbers in (*drawn.parts, replayed, sft.later)),
        ]
    )
    if not begin_store(folder, fingerprint):
        declare_store(folder, fingerprint)
    tasks = hybrid_tasks(inputs.maker_plan, plan.segments, drawn, control, folder, inputs.hybrid_length)
    waiting = [task for task in tasks if finished_shard(folder, task.shard.number) is None]
    workers.run(make_hybrid_shard, waiting, lambda: None)
    if finished_shard(folder, len(tasks)) is None:
        write_shard(folder, len(tasks), sft.store.documents([*replayed.tolist(), *sft.later.tolist()]))
    store = seal_store(folder, len(tasks) + 1)
    ticks.tick()
    # The packs are made when the model has thought anew; that there are enough documents is better known now.
    packed = hybrid_packs(store, tokenizer, section, inputs.hybrid_length, seed)
    return pack_figures(store, packed.index) | {
        "sources": msgspec.to_builtins(store.counts()),
        "past_budget": packed.past_budget,
        "paired_problems": len(drawn.paired),
        "length_control_documents": len(drawn.cut),
        "length_control_prompts": len(drawn.prompts),
        "replayed_documents": len(replayed),
        "long_documents": len(sft.later),
    }


def _rows_to_train(inputs: PackInputs) -> Iterator[Sample]:
    held_out = inputs.held_out
    return (row for row in read_kept(inputs.filtered) if not held_out.has(row.id))


def _dpo_pairs(inputs: PackInputs, folder: Path, workers: Workers) -> dict[str, Any]:
    section = inputs.dpo
    pairs = build_pairs(
        partial(_rows_to_train, inputs),
        partial(read_rejected, inputs.filtered),
        PairChoice(inputs.seed, section.refusals, section.pairs, tuple(inputs.refusals_right_for)),
        folder.with_name(f"{folder.name}.sides{ASIDE_SUFFIX}"),
    )
    done = write_pairs(pairs, inputs.maker_plan, section.max_length, section.global_batch, folder, workers)
    if not done.by_kind:
        raise UserError(
            f"dpo has {done.found} pairs, fewer than its global_batch ({section.global_batch}); give more rows, a "
            "larger dpo.refusals or a smaller dpo.global_batch"
        )
    left_over = done.found - done.by_kind.total()
    more = {"left_over": left_over} if left_over else {}
    return {"pairs": dict(done.by_kind), "dropped": dict(done.dropped) | more}
