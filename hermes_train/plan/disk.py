"""Bytes on disk: checkpoints, models, token store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hermes_train.plan.activations import FLOAT32
from hermes_train.plan.memory import RankWork
from hermes_train.plan.stages import StagePlan
from hermes_train.recipe.schema import Recipe
from hermes_train.training.compute.architecture import Architecture

MODELS = ("prepare", "sft", "hybrid", "dpo", "export")
"""The stages that leave a model in the run."""

BYTES_PER_TOKEN = 4
"""Of the token store: an int32 a token; labels are spans, and add little to documents of usual length."""


@dataclass(frozen=True)
class Disk:
    """Bytes by what they hold."""

    checkpoint: dict[str, int]
    """One checkpoint of each training stage."""
    checkpoints: int
    """Most at once: those that the stage with the largest ones keeps, and the one that is being written."""
    models: int
    """The prepared base, the model of each training stage and the exported one."""
    tokens: int
    """The token store, as if every token were seen once."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints + self.models + self.tokens


def checkpoint_bytes(work: RankWork) -> int:
    """Return the bytes of a checkpoint over all ranks.

    Master weights and two moments in float32 for what is trained, which is all that ZeRO-3 writes. Otherwise the
    weights of the forward pass stand in it once more; adapters are saved without the model beneath them.
    """
    trained = work.trained.parameters
    states = 3 * FLOAT32 * trained
    if work.sharding.uses_deepspeed and work.sharding.zero_stage < 3:
        return states + work.element * trained
    return states


def plan_disk(recipe: Recipe, architecture: Architecture, stages: Sequence[StagePlan], tokens: int) -> Disk:
    """Return what a run needs at most; `tokens` are those of the data, over all stages."""
    sizes = {stage.shape.stage: checkpoint_bytes(stage.work) for stage in stages if stage.work}
    kept = {stage.shape.stage: stage.shape.section.checkpoints_kept for stage in stages}
    stored = 2 if recipe.model.dtype == "bfloat16" else FLOAT32
    return Disk(
        checkpoint=sizes,
        checkpoints=max(((kept[stage] + 1) * size for stage, size in sizes.items()), default=0),
        models=len(MODELS) * stored * architecture.parameters,
        tokens=BYTES_PER_TOKEN * tokens,
    )
