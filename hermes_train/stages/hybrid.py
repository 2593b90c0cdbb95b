"""hybrid, before it trains: the model that SFT made thinks anew, and the packs of the stage are put together.

samples/part-*.jsonl    what became of each prompt; a killed run goes on with the parts that are missing
hybrid/packs/           the documents of the pack stage, those of length control, and their packs
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from data_filters.files import read_jsonl, write_folder_whole, write_jsonl
from data_filters.samples import Sample
from hermes_train.evaluation.generate import free_gpu_memory, load_for_answers
from hermes_train.evaluation.thoughts import SampledThought, ThoughtOutcome, ThoughtSampler
from hermes_train.packing.documents import Tally
from hermes_train.packing.hybrid import (
    hybrid_packs,
    plan_hybrid,
    purpose_seed,
    read_prompts,
    trained_as,
)
from hermes_train.packing.mixture import lowest
from hermes_train.packing.pack_index import INDEX, pack_figures
from hermes_train.packing.rows import MakerPlan, row_counts
from hermes_train.packing.shards import facts_path, finished_shard, identity_hash, shard_path, write_shard
from hermes_train.packing.store import PackIndex, TokenStore, seal_store
from hermes_train.recipe.training_sections import HybridSection, LengthControl
from hermes_train.training import ranks
from hermes_train.training.watch import signals

Progress = Callable[[int, int], None]
"""Called with the number of finished parts and the number of all."""


@dataclass(frozen=True)
class HybridInputs:
    """What the stage reads: the documents of the pack stage, the model that SFT made, and the section."""

    documents: Path
    sft_model: Path
    plan: MakerPlan
    section: HybridSection
    length: int
    """Tokens in a pack."""


class LengthControlFigures(msgspec.Struct, frozen=True):
    """What sampling gave. `prompts` = `closed` + `used` + all that was `dropped`, by reason."""

    prompts: int
    closed: int
    """Thoughts that ended within the budget."""
    past_budget: int
    """Thoughts that did not, whatever became of them."""
    used: int
    wanted: int
    """Documents that fill the share which the recipe gives to length control."""
    dropped: dict[str, int]


def sample_thoughts(inputs: HybridInputs, folder: Path, progress: Progress | None = None) -> None:
    """Let the model think on the drawn prompts and write what becomes of each into the parts of `folder`.

    The parts are dealt to the ranks, each of which holds the model for itself; returns when all parts are there.
    """
    control = _control(inputs)
    prompts = list(read_prompts(inputs.documents))
    batches = [
        prompts[first : first + control.batch_size] for first in range(0, len(prompts), control.batch_size)
    ]
    files = [_part(folder, number) for number in range(len(batches))]
    own = range(ranks.rank(), len(batches), ranks.world_size())
    _sample_parts(inputs, {files[number]: batches[number] for number in own}, files, progress)
    ranks.wait_until(lambda: all(file.exists() for file in files))


def _sample_parts(
    inputs: HybridInputs,
    parts: dict[Path, Sequence[Sample]],
    all_files: Sequence[Path],
    progress: Progress | None,
) -> None:
    missing = [file for file in parts if not file.exists()]
    if not missing:
        return
    plan = inputs.plan
    model = load_for_answers(inputs.sft_model, plan.model.dtype)
    sampler = ThoughtSampler(model, plan.maker(), _control(inputs), plan.seed)
    for file in missing:
        write_jsonl(file, sampler.sample(parts[file]))
        if progress is not None:
            progress(sum(file.exists() for file in all_files), len(all_files))
        # The stage lets signals wait for training to save; here each part is saved.
        signals.obey_requested()
    del model, sampler
    free_gpu_memory()


def _control(inputs: HybridInputs) -> LengthControl:
    control = inputs.section.length_control
    assert control is not None, "thoughts are sampled for length control"
    return control


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.jsonl"


def read_sampled(folder: Path) -> Iterator[SampledThought]:
    """Yield what became of each prompt, in the order of the prompts."""
    for file in sorted(folder.glob("part-*.jsonl")):
        yield from (msgspec.convert(row, SampledThought) for row in read_jsonl(file))


def make_hybrid_packs(
    inputs: HybridInputs, paired_problems: int, samples: Path | None, folder: Path
) -> dict[str, Any]:
    """Write the documents and packs of the stage to `folder`, whole or not at all. Returns their figures.

    `samples` holds the sampled thoughts, None where there are none. Raises UserError where the documents are too few
    for the global batch.
    """
    sampled = list(read_sampled(samples)) if samples else []
    control = inputs.section.length_control
    wanted = plan_hybrid(
        paired_problems, inputs.section.replay, control.share if control else 0.0
    ).length_control
    shards = _shards(inputs.documents)
    if not (folder / INDEX).exists():
        with write_folder_whole(folder) as aside:
            for number in range(shards):
                _link_shard(inputs.documents, number, aside)
            _write_length_control(inputs, _chosen(sampled, wanted, inputs.plan.seed), aside, shards)
            store = seal_store(aside, shards + 1)
            tokenizer = inputs.plan.maker().tokenizer
            packs = hybrid_packs(store, tokenizer, inputs.section, inputs.length, inputs.plan.seed)
            packs.index.save(aside / INDEX)
    store, index = TokenStore(folder), PackIndex.load(folder / INDEX)
    figures = pack_figures(store, index) | {"past_budget": len(store) - len(np.unique(index.order))}
    if samples is None:
        return figures
    found = _figures(sampled, wanted, folder, shards)
    return figures | {"length_control": msgspec.to_builtins(found), "length_control_documents": found.used}


def _shards(documents: Path) -> int:
    number = 0
    while finished_shard(documents, number) is not None:
        number += 1
    return number


def _link_shard(source: Path, number: int, folder: Path) -> None:
    """Let a shard lie in two folders; it is never written to again."""
    for path in (shard_path(source, number), facts_path(source, number)):
        try:
            os.link(path, folder / path.name)
        except OSError:
            # Not every file system has hard links.
            shutil.copy2(path, folder / path.name)


def _chosen(sampled: Sequence[SampledThought], wanted: int, seed: int) -> list[Sample]:
    """Return the rows of length control, drawn by the seed where there are more than wanted."""
    rows = [thought.sample for thought in sampled if thought.sample is not None]
    hashes = np.asarray([identity_hash(row.id) for row in rows], np.uint64)
    return [rows[place] for place in lowest(hashes, wanted, purpose_seed(seed, "cut")).tolist()]


def _write_length_control(inputs: HybridInputs, rows: Sequence[Sample], folder: Path, number: int) -> None:
    tally = Tally()
    trained = (trained_as(row, _control(inputs)) for row in rows)
    documents = inputs.plan.maker().documents(trained, inputs.plan.pack.history, inputs.length, tally)
    write_shard(folder, number, documents, lambda: row_counts(tally, Counter()))


def _figures(
    sampled: Sequence[SampledThought], wanted: int, folder: Path, shard: int
) -> LengthControlFigures:
    outcomes = Counter(thought.outcome for thought in sampled)
    closed, usable = outcomes.pop(ThoughtOutcome.CLOSED, 0), outcomes.pop(ThoughtOutcome.CLOSED_BY_FORCE, 0)
    facts = finished_shard(folder, shard)
    assert facts is not None, "the shard was sealed with the store"
    dropped = Counter({str(outcome): number for outcome, number in outcomes.items()})
    for counts in facts.counts:
        dropped.update(counts.dropped)
    if usable > wanted:
        dropped["beyond_share"] = usable - wanted
    return LengthControlFigures(
        prompts=len(sampled),
        closed=closed,
        past_budget=sum(thought.outcome.passed_budget for thought in sampled),
        used=facts.documents,
        wanted=wanted,
        dropped=dict(sorted(dropped.items())),
    )


def length_control_lines(section: HybridSection, figures: dict[str, Any]) -> list[str]:
    """Return what there is to say about length control before training begins."""
    control = section.length_control
    lines = []
    if control and control.trained == "whole_thought":
        lines.append(
            "[yellow]length control trains the cut thoughts themselves (trained: whole_thought): a control experiment; "
            "in the Hermes 4 report this raised the share of thoughts that never end[/yellow]"
        )
    if figures["past_budget"] and control:
        lines.append(
            f"length control: {figures['past_budget']} documents are left out, since they would train thoughts longer "
            f"than {control.budget} tokens"
        )
    if control and "length_control" in figures:
        lines.append(
            _sampling_line(control, msgspec.convert(figures["length_control"], LengthControlFigures))
        )
    return lines


def _sampling_line(control: LengthControl, figures: LengthControlFigures) -> str:
    reasons = ", ".join(f"{reason} {number}" for reason, number in figures.dropped.items())
    told = f" (dropped: {reasons})" if reasons else ""
    if not figures.past_budget:
        return (
            f"length control: none of {figures.prompts} sampled thoughts passed {control.budget} tokens: the model "
            f"needs none at this budget, and the stage goes on without{told}"
        )
    return (
        f"length control: {figures.past_budget} of {figures.prompts} sampled thoughts passed {control.budget} tokens; "
        f"{figures.used} documents of {figures.wanted} wanted{told}"
    )
