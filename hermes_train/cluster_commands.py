"""The commands for clusters: start a run there, look at it, and what its jobs and hosts call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hermes_train.command_options import (
    OverrideOption,
    RecipeArgument,
    RunsOption,
    load_pipeline,
    quiet_libraries,
)
from hermes_train.runs import DEFAULT_RUNS


def add_cluster_commands(app: typer.Typer) -> None:
    """Add launch, status, attempt and preflight to the command line."""
    for command in (launch, status, attempt, preflight):
        app.command()(command)


def launch(
    recipe: RecipeArgument,
    cluster: Annotated[
        Literal["slurm", "torchrun"],
        typer.Option(help="Slurm, as a chain of jobs; or torchrun, on hosts without it."),
    ] = "slurm",
    until: Annotated[str, typer.Option(help="The last stage to make.")] = "export",
    nodes: Annotated[
        int | None,
        typer.Option(min=1, help="Nodes that train; by default as the recipe says.", show_default=False),
    ] = None,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs of each; by default as the recipe says.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands as a script for bash; start nothing.")
    ] = False,
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Make the whole run on a cluster: each stage that is not done is a job, which starts after the one before it."""
    quiet_libraries()
    from rich.console import Console

    from hermes_train.cluster.launching import LaunchRequest, launch_on_slurm

    request = LaunchRequest(recipe, override or [], runs, until, nodes, gpus_per_node)
    if cluster == "torchrun":
        from hermes_train.cluster.hosts import launch_on_hosts

        launch_on_hosts(request, dry_run, Console())
    else:
        launch_on_slurm(request, dry_run, Console())


def status(
    run: Annotated[Path, typer.Argument(help="A run's folder, such as runs/demo.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as one JSON object.")] = False,
    watch: Annotated[
        float | None,
        typer.Option(min=1, help="Look again every so many seconds, until Ctrl-C.", show_default=False),
    ] = None,
) -> None:
    """Tell where a run stands: its stages, the step, its jobs and why one waits, what to do next. Only reads."""
    from hermes_train.cluster.status.command import show_status

    show_status(run, as_json, watch)


def attempt(
    stage: Annotated[str, typer.Argument(help="sft, hybrid or dpo.", show_default=False)],
    recipe: RecipeArgument,
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Try to train a stage in a Slurm job, on its nodes; what fails is put back into the queue or given up."""
    from hermes_train.cluster.attempts.attempting import attempt_stage

    raise typer.Exit(attempt_stage(load_pipeline(recipe, runs, override), stage))


def preflight(
    recipe: RecipeArgument,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for a rank that does not come, or hangs.")
    ] = 120.0,
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Check that every host is fit to train: software, GPUs, folders, clocks, bandwidth. Works under torchrun."""
    environment = dict(os.environ)
    from hermes_train.recipe.load import load_recipe

    loaded = load_recipe(recipe, override or [])
    # First, since libraries read these settings when they are imported.
    quiet_libraries()
    from rich.console import Console

    from hermes_train.cluster.preflight.check import run_preflight
    from hermes_train.cluster.preflight.facts import Place
    from hermes_train.cluster.preflight.task import Preflight

    task = Preflight(loaded, runs, patience, Console(), Place.of(environment), environment)
    raise typer.Exit(run_preflight(task))
