"""A plan for the terminal: a verdict, three tables, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hermes_train.plan.fit import Overrides
from hermes_train.plan.gpus import GIB
from hermes_train.plan.plan import Plan, Remedy

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

GB = 10**9

PARTS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer (master weights, moments)",
    "gathered": "gathered weights, whole gradients",
    "buckets": "buckets of communication",
    "activations": "activations",
    "logits": "logits, gradient of the head",
    "update": "update, for its time",
    "reserve": "reserve (CUDA, NCCL, fragmentation)",
}
"""The parts of the memory in words."""


def plan_tables(plan: Plan) -> Iterator[RenderableType]:
    """Yield the verdict, the memory, the time, the disk, and what to change."""
    from rich.text import Text

    yield Text(_headline(plan), style="bold green" if plan.fits else "bold red")
    yield Text(_model_line(plan) + "\n")
    yield _memory_table(plan)
    yield _time_table(plan)
    yield _disk_table(plan)
    yield from (Text(line) for line in _advice(plan))


def _headline(plan: Plan) -> str:
    verdict = "fits" if plan.fits else "does not fit"
    return f"{plan.recipe.name} {verdict} on {plan.machines} ({plan.machines.ranks} GPUs)"


def _model_line(plan: Plan) -> str:
    shape = plan.model.architecture
    return (
        f"{plan.model.name}: {shape.parameters:,} parameters, {shape.layers} layers, hidden size {shape.hidden_size:,} "
        f"({plan.model.source})"
    )


def _memory_table(plan: Plan) -> Table:
    table = _table("Memory of each GPU in GiB, when most is in use", "part")
    for stage in plan.stages:
        table.add_column(stage.shape.stage, justify="right")
    for part, words in PARTS.items():
        table.add_row(
            words, *(_gib(stage.memory.parts[part] if stage.memory else None) for stage in plan.stages)
        )
    table.add_section()
    table.add_row("all", *(_gib(stage.memory.total if stage.memory else None) for stage in plan.stages))
    table.add_row("of", *(_gib(plan.machines.gpu.memory) for _ in plan.stages))
    table.add_row(
        "most is in use at the", *(stage.memory.moment if stage.memory else "" for stage in plan.stages)
    )
    if any(stage.memory and stage.memory.host for stage in plan.stages):
        per_node = plan.machines.gpus_per_node
        hosts = (_gib(stage.memory.host * per_node if stage.memory else None) for stage in plan.stages)
        table.add_row("memory of each node's CPUs", *hosts)
    return table


def _time_table(plan: Plan) -> Table:
    mfus = list(next(iter(plan.schedules.values())).hours)
    shares = [f"{float(mfu):.0%}" for mfu in mfus]
    table = _table(f"Time, with hours at {', '.join(shares)} MFU", "stage")
    columns = ("steps", "tokens", "passes", "operations")
    for name in (*columns, *shares):
        table.add_column(name, justify="right")
    for stage, schedule in plan.schedules.items():
        table.add_row(
            stage,
            f"{schedule.steps:,}",
            _scaled(schedule.tokens),
            "" if schedule.epochs is None else f"{schedule.epochs:.2f}",
            f"{schedule.flops:.2e}",
            *(_hours(schedule.hours[mfu]) for mfu in mfus),
        )
    totals = (sum(schedule.hours[mfu] for schedule in plan.schedules.values()) for mfu in mfus)
    table.add_section()
    table.add_row("all", *("" for _ in columns), *(_hours(total) for total in totals))
    return table


def _disk_table(plan: Plan) -> Table:
    disk, table = plan.disk, _table("Disk in GB, at most", "what")
    table.add_column("", justify="right")
    for stage, size in disk.checkpoint.items():
        table.add_row(f"a checkpoint of {stage}", _gb(size))
    table.add_section()
    table.add_row("checkpoints at once", _gb(disk.checkpoints))
    table.add_row("models of the stages", _gb(disk.models))
    table.add_row("token store", _gb(disk.tokens))
    table.add_row("all", _gb(disk.total))
    return table


def _advice(plan: Plan) -> Iterator[str]:
    for stage in plan.stages:
        if stage.verdict.reason:
            yield f"does not fit: {stage.verdict.reason}"
    kind = f"{plan.machines.gpus_per_node} x {plan.machines.gpu.name}"
    because = f", since {plan.fewest.reason}" if plan.fewest.reason else ""
    if plan.fewest.nodes is None:
        yield f"no number of nodes of {kind} holds this recipe{because}"
    else:
        yield f"fewest nodes of {kind} that hold this recipe: {plan.fewest.nodes}{because}"
    if plan.remedies:
        yield "what makes it fit:"
        yield from (f"  {_remedy(remedy)}" for remedy in plan.remedies)
    yield from (f"note: {note}" for note in plan.notes)


def options(overrides: Overrides) -> str:
    """Return settings as options of the command line."""
    return " ".join(f"-o {override}" for override in overrides)


def _remedy(remedy: Remedy) -> str:
    here = "as asked; " if remedy.fits_here else ""
    return f"{options(remedy.overrides)}: {here}fewest nodes {remedy.fewest_nodes}"


def _table(title: str, first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(first)
    return table


def _gib(size: int | None) -> str:
    if not size:
        return "" if size is None else "0"
    return f"{size / GIB:,.1f}" if size >= GIB // 10 else f"{size / GIB:.3f}"


def _gb(size: int) -> str:
    return f"{size / GB:,.1f}" if size >= GB // 10 else f"{size / GB:.3f}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 0.1 else f"{hours:.4f}"


def _scaled(count: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f} {letter}"
    return str(count)
