"""Where a stage goes on: from which checkpoint, and by which way when the number of ranks has changed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from data_filters.errors import UserError
from hermes_train.training import ranks
from hermes_train.training.resume import universal
from hermes_train.training.resume.checkpoints import (
    CheckpointFacts,
    Found,
    facts_of,
    find_checkpoints,
    remove_after,
)
from hermes_train.training.watch.metrics import drop_after


class Way(StrEnum):
    """How a stage begins."""

    START = "from step 1"
    SAME = "from a checkpoint of as many ranks"
    UNIVERSAL = "from a checkpoint of other ranks, by its universal form"


@dataclass(frozen=True)
class Resumption:
    """What a stage goes on from."""

    way: Way
    checkpoint: Path | None = None
    facts: CheckpointFacts | None = None

    @property
    def step(self) -> int:
        """The last step that is done; 0 at the start."""
        return self.facts.step if self.facts else 0


def choose_resumption(folder: Path, stage: str, rank_count: int, zero_stage: int) -> Resumption:
    """Return how the stage in `folder` begins on `rank_count` ranks under `zero_stage`.

    Raises UserError where every checkpoint is damaged, or where the latest cannot be continued under this stage.
    """
    found = find_checkpoints(folder)
    if found.latest is None:
        if found.damaged:
            raise UserError(_none_is_left(found, stage))
        return Resumption(Way.START)
    facts = facts_of(found.latest)
    way = way_of(facts, rank_count, zero_stage)
    if way is None:
        raise UserError(_other_stage(found.latest, facts, stage, rank_count, zero_stage))
    return Resumption(way, found.latest, facts)


def way_of(facts: CheckpointFacts, rank_count: int, zero_stage: int) -> Way | None:
    """Return how `rank_count` ranks under `zero_stage` read a checkpoint; None where they cannot."""
    same = (facts.ranks, facts.zero_stage) == (rank_count, zero_stage)
    if same or (facts.zero_stage == 0 and zero_stage == 0):
        return Way.SAME
    return Way.UNIVERSAL if zero_stage in (0, facts.zero_stage) else None


def convert_where_needed(resumption: Resumption, console: Console) -> None:
    """Give the checkpoint the form that its way needs. Every rank calls this, before the ranks are joined."""
    if resumption.way is not Way.UNIVERSAL or resumption.checkpoint is None or resumption.facts is None:
        return
    if ranks.is_main() and not universal.is_converted(resumption.checkpoint):
        console.print(
            f"{resumption.checkpoint.name} was saved by {resumption.facts.ranks} ranks; it is converted for "
            f"{ranks.world_size()}"
        )
    universal.convert(resumption.checkpoint)


def require_same_model(resumption: Resumption, model: str) -> None:
    """Raise UserError where the checkpoint is that of another model; `model` is the name of this one's parameters."""
    if resumption.facts and resumption.facts.model != model:
        raise UserError(
            f"{resumption.checkpoint} was saved from a model of other parameters; remove it to start the stage anew, "
            "or give back the recipe that it was made with"
        )


def clear_leftovers(resumption: Resumption, folder: Path, metrics: Path) -> None:
    """Remove what earlier processes left after the step that the stage goes on from. Every rank calls this."""
    ranks.wait_for_all()
    if ranks.is_main():
        remove_after(folder, resumption.step)
        drop_after(metrics, resumption.step)
    ranks.wait_for_all()


def damage_lines(folder: Path) -> list[str]:
    """Return a line for each checkpoint that is passed over because its files are not what they were."""
    found = find_checkpoints(folder)
    if found.latest is None:
        return []
    return [
        f"{path.name} is damaged: {damage}; {found.latest.name} is taken instead"
        for path, damage in found.damaged.items()
    ]


def _none_is_left(found: Found, stage: str) -> str:
    told = "; ".join(f"{path.name}: {damage}" for path, damage in found.damaged.items())
    folder = next(iter(found.damaged)).parent
    return (
        f"{stage} has no sound checkpoint to go on from ({told}); bring the files back, or start the stage anew after "
        f"`rm -r {folder}/checkpoint-*`"
    )


def _other_stage(
    checkpoint: Path, facts: CheckpointFacts, stage: str, rank_count: int, zero_stage: int
) -> str:
    """Say which command continues a checkpoint that this job cannot."""
    saved = f"{checkpoint} was saved by {facts.ranks} ranks under ZeRO stage {facts.zero_stage}"
    now = f"this is a job of {rank_count} ranks under stage {zero_stage}"
    if facts.zero_stage == 0:
        way = (
            "continue with -o parallel.zero_stage=0, or in one process: `hermes-train run RECIPE` on one GPU"
        )
    else:
        way = f"continue with -o parallel.zero_stage={facts.zero_stage}"
    return f"{saved}, and {now}; {way}. To start {stage} anew: `rm -r {checkpoint.parent}/checkpoint-*`"
