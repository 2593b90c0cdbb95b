"""Steps, tokens, operations and hours of the training stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hermes_train.plan.gpus import Machines
from hermes_train.plan.stages import Shape
from hermes_train.recipe.schema import Recipe
from hermes_train.runs import RunFolder, fingerprint
from hermes_train.training.compute.architecture import Architecture
from hermes_train.training.compute.flops import Trained, step_flops

USUAL_MFU = (0.3, 0.4, 0.5)
"""Shares of the GPU's peak to show where none is given: from what multi-node runs of 70B reach to a well-tuned node."""

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Packed:
    """What the run's packs tell of a stage's data."""

    tokens: int
    """Of one pass over the data, padding left out."""
    fill: float
    """Share of a pack's tokens that are no padding."""
    lengths: np.ndarray
    """Lengths of the documents, float64, each taken as the middle of its bin in the pack stage's histogram."""


@dataclass(frozen=True)
class Schedule:
    """What a stage computes, and for how long."""

    steps: int
    tokens: int
    """Over the whole stage; without packs to look at, padding is counted as well."""
    epochs: float | None
    """Passes over the stage's data; None before the data is packed."""
    flops: float
    """Operations of the model over the whole stage, forward and backward."""
    attention_share: float
    """Share of the operations that grows with the square of the documents' lengths."""
    hours: dict[str, float]
    """Hours by MFU, such as {"0.4": 96.5}."""


def changed_since_packed(run_folder: RunFolder, recipe: Recipe) -> tuple[str, ...]:
    """Return the settings of packs that are not those which the run's packs were made with, such as `pack.length`."""
    manifest = run_folder.stage("pack").manifest()
    if manifest is None:
        return ()
    pack = recipe.pack.model_dump(mode="json", exclude={"workers"})
    now = {f"pack.{key}": value for key, value in pack.items()} | {"hybrid.length": recipe.hybrid.length}
    made_with = manifest["inputs"]
    return tuple(key for key, value in now.items() if made_with.get(f"recipe.{key}") != fingerprint(value))


def read_packed(run_folder: RunFolder, stage: str) -> Packed | None:
    """Return what the run's finished pack stage says of a stage's data; None where there is nothing yet."""
    manifest = run_folder.stage("pack").manifest()
    if manifest is None or stage == "dpo":
        return None
    figures: Mapping[str, Any] = manifest["figures"] if stage == "sft" else manifest["figures"]["hybrid"]
    histogram = figures["length_histogram"]
    edges = np.asarray(histogram["edges"])
    middles = (edges[:-1] + edges[1:]) / 2
    return Packed(figures["tokens"], figures["fill"], np.repeat(middles, histogram["counts"]))


def plan_schedule(
    shape: Shape,
    architecture: Architecture,
    machines: Machines,
    packed: Packed | None,
    mfus: tuple[float, ...] = USUAL_MFU,
) -> Schedule:
    """Return the schedule of one stage.

    Without packs every document is taken to be as long as it may be: an upper bound of the attention. The DPO stage
    also scores its pairs by the model that it starts from, a forward pass: a third of a step's operations.
    """
    section = shape.section
    row_tokens = shape.row * (packed.fill if packed else 1.0)
    tokens = section.steps * section.global_batch * row_tokens
    lengths = packed.lengths if packed else np.array([shape.document], np.float64)
    trained: Trained = "full" if section.lora is None else "lora"
    passes = tokens / float(lengths.sum()) * (4 / 3 if shape.stage == "dpo" else 1)
    once, doubled = (step_flops(architecture, factor * lengths, trained) for factor in (1, 2))
    # Documents of twice the length take twice the operations of the weights, and four times those of attention.
    attention = (doubled - 2 * once) / 2
    flops = passes * once
    per_hour = machines.ranks * machines.gpu.peak * SECONDS_PER_HOUR
    return Schedule(
        steps=section.steps,
        tokens=round(tokens),
        epochs=tokens / packed.tokens if packed else None,
        flops=flops,
        attention_share=attention / once,
        hours={f"{mfu:g}": flops / (per_hour * mfu) for mfu in mfus},
    )
