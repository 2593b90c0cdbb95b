"""A recipe's plan: model, memory, fit, time, disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_filters.errors import UserError
from hermes_train.plan.answers import evaluation_note
from hermes_train.plan.base import PlannedModel, find_model
from hermes_train.plan.disk import Disk, plan_disk
from hermes_train.plan.fit import FewestNodes, Overrides, all_fit, fewest_nodes, plan_stages, remedies
from hermes_train.plan.gpus import Machines, find_gpu
from hermes_train.plan.schedule import (
    USUAL_MFU,
    Packed,
    Schedule,
    changed_since_packed,
    plan_schedule,
    read_packed,
)
from hermes_train.plan.stages import StagePlan
from hermes_train.recipe.load import load_recipe
from hermes_train.recipe.schema import ClusterSection, Recipe
from hermes_train.runs import DEFAULT_RUNS, RunFolder

PLANNED_WITHOUT_GPUS = "h100"
"""What a plan takes where the recipe is for CPUs: how the run would go on GPUs."""


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for; None takes what the recipe's `cluster` section says."""

    recipe: Path
    overrides: Sequence[str] = ()
    runs: Path = DEFAULT_RUNS
    nodes: int | None = None
    gpus_per_node: int | None = None
    gpu: str | None = None
    mfu: float | None = None


@dataclass(frozen=True)
class Remedy:
    """A change that makes the recipe fit."""

    overrides: Overrides
    fits_here: bool
    """Whether it fits on the machines asked for."""
    fewest_nodes: int
    """The fewest nodes that it makes the recipe fit on."""


@dataclass(frozen=True)
class Plan:
    """All that is known of a run before it starts."""

    recipe: Recipe
    model: PlannedModel
    machines: Machines
    stages: tuple[StagePlan, ...]
    schedules: Mapping[str, Schedule]
    disk: Disk
    fewest: FewestNodes
    remedies: tuple[Remedy, ...]
    """Empty where the recipe fits as it is."""
    changed_since_packed: tuple[str, ...]
    """Settings for which the run's own packs say nothing about this plan."""

    @property
    def fits(self) -> bool:
        """Whether every training stage can run on the machines."""
        return all_fit(self.stages)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known, in words."""
        notes = []
        evaluation = evaluation_note(self.recipe, self.model.architecture, self.machines)
        if evaluation is not None:
            notes.append(evaluation)
        if self.changed_since_packed:
            notes.append(
                f"the run's packs were made with another {', '.join(self.changed_since_packed)}, and are left aside"
            )
        if any(schedule.epochs is None for stage, schedule in self.schedules.items() if stage != "dpo"):
            notes.append(
                "where data is not packed yet, documents count as long as they may be: a run's own packs give passes "
                "over the data and fewer operations"
            )
        return tuple(notes)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values: bytes, tokens and hours; reasons as slugs and in words."""
        architecture = self.model.architecture
        return {
            "recipe": self.recipe.name,
            "fits": self.fits,
            "reasons": sorted({stage.verdict.fit for stage in self.stages} - {"fits"}),
            "model": {"name": self.model.name, "source": self.model.source, **asdict(architecture)},
            "machines": asdict(self.machines),
            "stages": [self._stage_as_json(stage) for stage in self.stages],
            "fewest_nodes": asdict(self.fewest),
            "remedies": [asdict(remedy) for remedy in self.remedies],
            "notes": list(self.notes),
            "disk": {**asdict(self.disk), "total": self.disk.total},
        }

    def _stage_as_json(self, stage: StagePlan) -> dict[str, Any]:
        memory = stage.memory
        return {
            "stage": stage.shape.stage,
            "fit": stage.verdict.fit,
            "reason": stage.verdict.reason,
            "memory": {**asdict(memory), "total": memory.total} if memory else None,
            "schedule": asdict(self.schedules[stage.shape.stage]),
        }


def make_plan(request: PlanRequest) -> Plan:
    """Return the plan. Raises UserError for a recipe or a base that cannot be read."""
    recipe = load_recipe(request.recipe, request.overrides).recipe
    run_folder = RunFolder(request.runs / recipe.name)
    model = find_model(recipe.model, run_folder)
    machines = _machines(request, recipe.cluster)
    architecture = model.architecture
    stages = tuple(plan_stages(recipe, architecture, machines))
    changed = changed_since_packed(run_folder, recipe)
    packed = {
        stage.shape.stage: None if changed else read_packed(run_folder, stage.shape.stage) for stage in stages
    }
    mfus = USUAL_MFU if request.mfu is None else (request.mfu,)
    schedules = {
        stage.shape.stage: plan_schedule(stage.shape, architecture, machines, packed[stage.shape.stage], mfus)
        for stage in stages
    }
    fewest = fewest_nodes(recipe, architecture, machines)
    found = () if all_fit(stages) else tuple(_found_remedies(request, recipe, model, machines, fewest))
    return Plan(
        recipe=recipe,
        model=model,
        machines=machines,
        stages=stages,
        schedules=schedules,
        disk=plan_disk(recipe, architecture, stages, _stored_tokens(packed, schedules)),
        fewest=fewest,
        remedies=found,
        changed_since_packed=changed,
    )


def _machines(request: PlanRequest, cluster: ClusterSection) -> Machines:
    return Machines(
        nodes=request.nodes or cluster.nodes,
        gpus_per_node=request.gpus_per_node or cluster.gpus_per_node,
        gpu=find_gpu(request.gpu or (cluster.gpu if cluster.gpu != "none" else PLANNED_WITHOUT_GPUS)),
    )


def _stored_tokens(packed: Mapping[str, Packed | None], schedules: Mapping[str, Schedule]) -> int:
    """Tokens of all stages' data: as packed, or as many as are trained on."""
    return sum(known.tokens if known else schedules[stage].tokens for stage, known in packed.items())


def _found_remedies(
    request: PlanRequest, recipe: Recipe, model: PlannedModel, machines: Machines, fewest: FewestNodes
) -> Iterator[Remedy]:
    """Yield of each kind of change the mildest that makes the recipe fit on the machines, or else on fewer nodes than
    without it."""
    for kind in remedies(recipe, model.architecture, machines):
        found = [remedy for overrides in kind if (remedy := _tried(request, overrides, model, machines))]
        here = [remedy for remedy in found if remedy.fits_here]
        fewer = [remedy for remedy in found if fewest.nodes is None or remedy.fewest_nodes < fewest.nodes]
        yield from (here or fewer)[:1]


def _tried(
    request: PlanRequest, overrides: Overrides, model: PlannedModel, machines: Machines
) -> Remedy | None:
    """Return what a change does; None where it helps on no number of nodes, or the recipe's own checks refuse it."""
    try:
        changed = load_recipe(request.recipe, [*request.overrides, *overrides]).recipe
    except UserError:
        return None
    nodes = fewest_nodes(changed, model.architecture, machines).nodes
    fits_here = all_fit(plan_stages(changed, model.architecture, machines))
    return None if nodes is None else Remedy(overrides, fits_here, nodes)
