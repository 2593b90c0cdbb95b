"""The fewest nodes that a recipe fits on, what decides that, and what to change where it does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hermes_train.plan.gpus import Machines
from hermes_train.plan.stages import Fit, Shape, StagePlan, plan_stage, stage_shapes
from hermes_train.recipe.schema import Recipe
from hermes_train.training.compute.architecture import Architecture

Overrides = tuple[str, ...]
"""Settings as on the command line after -o."""

LORA_RANK = 16
"""Of the adapters that are offered in place of training all weights."""

SHORTEST_PACK = 1024
"""Shorter packs are not offered."""


def plan_stages(recipe: Recipe, architecture: Architecture, machines: Machines) -> list[StagePlan]:
    """Return the training stages on some machines, in order."""
    return [
        plan_stage(recipe, shape, architecture, machines) for shape in stage_shapes(recipe, machines.ranks)
    ]


def all_fit(stages: Sequence[StagePlan]) -> bool:
    """Say whether every stage can run."""
    return all(stage.verdict.fit is Fit.FITS for stage in stages)


@dataclass(frozen=True)
class FewestNodes:
    """The smallest number of nodes on which every training stage fits; None where no number does."""

    nodes: int | None
    reason: str
    """What keeps fewer nodes, or any number of them, from holding the run; empty where one node holds it."""


def fewest_nodes(recipe: Recipe, architecture: Architecture, machines: Machines) -> FewestNodes:
    """Return the fewest nodes of the same kind that fit.

    Only numbers of nodes are tried to which the global batches can be dealt evenly; there are no more of them than the
    smallest global batch has rows.
    """
    reason = ""
    for nodes in range(1, _most_nodes(recipe, machines) + 1):
        stages = plan_stages(recipe, architecture, replace(machines, nodes=nodes))
        if all_fit(stages):
            return FewestNodes(nodes, reason)
        # Numbers that the batch cannot be dealt to say nothing about memory.
        if {stage.verdict.fit for stage in stages} <= {Fit.FITS, Fit.GPU_MEMORY}:
            tight = next(stage.verdict.reason for stage in stages if stage.verdict.fit is Fit.GPU_MEMORY)
            reason = f"on {nodes} {'node' if nodes == 1 else 'nodes'} {tight}"
    return FewestNodes(None, reason or _first_reason(recipe, architecture, machines))


def _most_nodes(recipe: Recipe, machines: Machines) -> int:
    """The number of nodes with which each rank has one row of the smallest global batch; at least 1."""
    ranks = min(
        shape.section.global_batch * shape.ranks_per_row // shape.section.micro_batch
        # More nodes are more ranks than one, which may share packs.
        for shape in stage_shapes(recipe, max(2, machines.ranks))
    )
    return max(1, ranks // machines.gpus_per_node)


def _first_reason(recipe: Recipe, architecture: Architecture, machines: Machines) -> str:
    """Return what is in the way on one node, memory last: more nodes could make that enough."""
    verdicts = [
        stage.verdict
        for stage in plan_stages(recipe, architecture, replace(machines, nodes=1))
        if stage.verdict.fit is not Fit.FITS
    ]
    return min(verdicts, key=lambda verdict: verdict.fit is Fit.GPU_MEMORY).reason


def remedies(recipe: Recipe, architecture: Architecture, machines: Machines) -> Iterator[list[Overrides]]:
    """Yield changes that may make a recipe fit, those that cost least time first.

    Each is a list of settings of one kind, mild ones before strong ones, as overrides of the recipe.
    """
    stages = plan_stages(recipe, architecture, machines)
    tight = [stage.shape for stage in stages if stage.memory and stage.memory.total > machines.gpu.memory]
    names = [shape.stage for shape in tight]
    if any(stage.verdict.fit is Fit.SAMPLING for stage in stages):
        yield _lighter_sampling(recipe)
    if any(shape.section.micro_batch > 1 for shape in tight):
        yield [tuple(f"{name}.micro_batch=1" for name in names)]
    if not all(shape.section.gradient_checkpointing for shape in tight):
        yield [_switched_on(tight, "gradient_checkpointing")]
    if not all(shape.section.activation_offload for shape in tight):
        yield [_offloaded(tight)]
    yield _sequence_parallel(recipe, architecture, machines, tight)
    if machines.ranks > 1:
        yield from _sharding(recipe)
    yield _shorter_packs(recipe)
    if not all(shape.section.lora for shape in tight):
        yield [tuple(f"{name}.lora.rank={LORA_RANK}" for name in names)]


def _lighter_sampling(recipe: Recipe) -> list[Overrides]:
    """Smaller batches of thoughts, and at last none that are sampled."""
    control = recipe.hybrid.length_control
    size = control.batch_size if control else 1
    key = "hybrid.length_control"
    smaller = [(f"{key}.batch_size={size >> halvings}",) for halvings in range(1, size.bit_length())]
    return [*smaller, (f"{key}.thoughts=kept",)]


def _switched_on(shapes: Sequence[Shape], key: str) -> Overrides:
    return tuple(f"{shape.stage}.{key}=true" for shape in shapes if not getattr(shape.section, key))


def _offloaded(shapes: Sequence[Shape]) -> Overrides:
    return _switched_on(shapes, "gradient_checkpointing") + _switched_on(shapes, "activation_offload")


def _sequence_parallel(
    recipe: Recipe, architecture: Architecture, machines: Machines, tight: Sequence[Shape]
) -> list[Overrides]:
    """Groups within a node, each rank with an equal number of heads; pairs, which are not shared, are offloaded."""
    if all(shape.stage == "dpo" for shape in tight):
        return []
    beside = _offloaded([shape for shape in tight if shape.stage == "dpo"])
    larger = range(recipe.parallel.sequence_parallel + 1, machines.gpus_per_node + 1)
    return [
        (f"parallel.sequence_parallel={size}", *beside)
        for size in larger
        if machines.gpus_per_node % size == 0 and architecture.heads % size == 0
    ]


def _sharding(recipe: Recipe) -> Iterator[list[Overrides]]:
    if recipe.parallel.zero_stage < 3:
        yield [("parallel.zero_stage=3",)]
    offloads = ("none", "optimizer", "parameters")
    more = offloads[offloads.index(recipe.parallel.offload) + 1 :]
    yield [("parallel.zero_stage=3", f"parallel.offload={offload}") for offload in more]


def _shorter_packs(recipe: Recipe) -> list[Overrides]:
    lengths = []
    length = recipe.pack.length // 2
    while length >= SHORTEST_PACK:
        changes = [f"pack.length={length}"]
        hybrid = _shorter_hybrid_packs(recipe, length)
        if hybrid != (recipe.hybrid.length or length):
            changes.append(f"hybrid.length={hybrid}")
        if 2 * recipe.dpo.max_length > length:
            changes.append(f"dpo.max_length={length // 2}")
        lengths.append(tuple(changes))
        length //= 2
    return lengths


def _shorter_hybrid_packs(recipe: Recipe, length: int) -> int:
    """Return the length of the hybrid stage's packs beside packs of `length`: the same, or halved as often as leaves
    room for a thought cut at its budget."""
    shorter = recipe.hybrid.length or recipe.pack.length
    budget = recipe.hybrid.length_control.budget if recipe.hybrid.length_control else 0
    while shorter > length and shorter // 2 > budget:
        shorter //= 2
    return shorter
