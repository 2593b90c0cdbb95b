"""The command line. Nothing heavy is imported before it is needed: `--help` and `check` answer at once.

Exit codes: 0 done, 1 the run failed, 2 wrong use, 75 stopped by a signal (what was trained is saved), 130 by Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from data_filters.errors import UserError
from hermes_train import __version__
from hermes_train.cluster_commands import add_cluster_commands
from hermes_train.command_options import (
    OverrideOption,
    RecipeArgument,
    RunsOption,
    load_pipeline,
    quiet_libraries,
)
from hermes_train.runs import DEFAULT_RUNS, RunFailedError
from hermes_train.training.watch.signals import EXIT_STOPPED, StopSignal


class _StoppedError(Exception):
    """Carries a KeyboardInterrupt past typer, which would end the process with a code of its own."""

    def __init__(self, interrupt: KeyboardInterrupt) -> None:
        self.interrupt = interrupt


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise _StoppedError(interrupt) from interrupt


app = typer.Typer(
    name="hermes-train",
    cls=_Commands,
    help="Turn an open base model into a hybrid-reasoning model: the Hermes 4 recipe, from rows to weights.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
"""Errors that the machine's keeper mends: disk, quota, permissions. Any other is a fault of ours."""


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def run(
    recipe: RecipeArgument,
    until: Annotated[str, typer.Option(help="The last stage to make.")] = "export",
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Make the whole run; stages that are done are skipped, an interrupted one goes on."""
    from hermes_train.runs import STAGES

    if until not in STAGES:
        raise UserError(f"--until {until}: there is no such stage; the stages are {', '.join(STAGES)}")
    from hermes_train.cluster.run_jobs import require_none_beside
    from hermes_train.training.watch.signals import stop_signals

    pipeline = load_pipeline(recipe, runs, override)
    require_none_beside(pipeline.run_folder.path, lambda line: pipeline.console.print(line, highlight=False))
    with stop_signals():
        with pipeline.run_folder.locked():
            pipeline.open()
        pipeline.run(until)


def _stage_command(stage: str, help_text: str) -> None:
    def command(
        recipe: RecipeArgument, runs: RunsOption = DEFAULT_RUNS, override: OverrideOption = None
    ) -> None:
        _make_one(stage, recipe, runs, override)

    app.command(stage, help=help_text)(command)


for _stage, _help in {
    "prepare": "One stage: the base model with its tags as single tokens and its chat template.",
    "filter": "One stage: verify the rows, take out duplicates and what is too near to held-out problems.",
    "pack": "One stage: render, label and pack the kept rows.",
    "sft": "One stage: supervised fine-tuning. Works under torchrun.",
    "hybrid": "One stage: mode control and length control. Works under torchrun.",
    "dpo": "One stage: preference optimisation. Works under torchrun.",
    "evaluate": "One stage: the held-out problems, by every model of the run, in both modes.",
    "export": "One stage: the model in shards with its card, opened again and compared.",
}.items():
    _stage_command(_stage, _help)


def _make_one(stage: str, recipe: Path, runs: Path, override: list[str] | None) -> None:
    from contextlib import nullcontext

    from hermes_train.runs import StageState
    from hermes_train.training.watch.signals import stop_signals

    pipeline = load_pipeline(recipe, runs, override)
    # Under a launcher the first rank speaks and writes for all.
    is_main = os.environ.get("RANK", "0") == "0"
    with stop_signals(), pipeline.run_folder.locked() if is_main else nullcontext():
        if is_main:
            pipeline.open()
        standing = pipeline.standing(stage)
        if is_main:
            pipeline.console.print(f"[bold]{stage:9}[/bold] {standing}", highlight=False)
        if standing.state is not StageState.DONE:
            pipeline.make(stage)
        if is_main:
            pipeline.report()


@app.command()
def verify(
    files: Annotated[
        list[Path],
        typer.Argument(help="Rows: .jsonl, .json, .gz or .zst of these, .parquet.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for verdicts.jsonl, kept.jsonl and rejected.jsonl.")],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    task: Annotated[
        Literal["math", "code"], typer.Option(help="The kind of task of rows that name none.")
    ] = "math",
    label_field: Annotated[
        str | None, typer.Option(help="A field, true or false, to hold the verdicts against.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Verify as this recipe's data.verify says.", show_default=False)
    ] = None,
    override: OverrideOption = None,
) -> None:
    """Verify rows of any known format, each kept or rejected with a reason."""
    if override and recipe is None:
        raise UserError("-o overrides a recipe's settings; name the recipe with --recipe")
    from rich.console import Console

    from data_filters.verify import verify_files
    from hermes_train.recipe.load import load_recipe
    from hermes_train.report.funnel import funnel_tables

    settings = load_recipe(recipe, override or []).recipe.data.verify if recipe is not None else None
    figures = verify_files(files, out, workers, settings, task, label_field)
    console = Console()
    for table in funnel_tables(figures):
        console.print(table)
    console.print(f"{figures.kept} of {figures.read} rows kept; see {out}", highlight=False, soft_wrap=True)


@app.command()
def check(recipe: RecipeArgument, override: OverrideOption = None) -> None:
    """Parse and cross-check a recipe; print it whole, each value with where it came from."""
    from rich.console import Console

    from hermes_train.recipe.explain import explain_in_colour
    from hermes_train.recipe.load import load_recipe

    Console().print(explain_in_colour(load_recipe(recipe, override or [])), soft_wrap=True, end="")


@app.command()
def plan(
    recipe: RecipeArgument,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Nodes; by default as the recipe says.", show_default=False)
    ] = None,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs of a node; by default as the recipe says.", show_default=False),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="a100, h100, h200 or b200; by default as the recipe says.", show_default=False),
    ] = None,
    mfu: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1.0,
            help="Share of the GPU's peak; by default 0.3, 0.4 and 0.5.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Tell whether a recipe fits on its machines, what to change, how long it takes and what disk it needs."""
    import json

    from hermes_train.plan.plan import PlanRequest, make_plan

    made = make_plan(PlanRequest(recipe, override or [], runs, nodes, gpus_per_node, gpu, mfu))
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=1))
        return
    from rich.console import Console
    from rich.text import Text

    from hermes_train.plan.tables import plan_tables

    for part in plan_tables(made):
        Console().print(part, highlight=False, soft_wrap=isinstance(part, Text))


add_cluster_commands(app)


@app.command()
def labels(
    source: Annotated[
        Path,
        typer.Argument(
            help="A recipe, or rows: .jsonl, .json, .gz or .zst of these, .parquet.", show_default=False
        ),
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="Render a file's rows as this recipe says.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Render a file's rows for this model: a folder, a Hub id or package:NAME/FILE.gguf.",
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        Literal["llama3", "chatml", "base"] | None,
        typer.Option(
            help="The chat template; by default the model's own, or llama3 without a model.",
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        Literal["keep", "strip", "expand"] | None,
        typer.Option(
            help="Earlier thoughts: by default as the recipe says, or expand without one.", show_default=False
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(min=1, help="Most documents; by default 3, or all with --json.", show_default=False),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Only this conversation, or this document of it: rows/7, rows/7#3.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per document: id, tokens, labels.")
    ] = False,
    runs: RunsOption = DEFAULT_RUNS,
    override: OverrideOption = None,
) -> None:
    """Show conversations with the tokens that carry loss; what is rejected goes to stderr with its reason."""
    quiet_libraries()
    from hermes_train.labels_command import LabelsRequest, show_labels

    show_labels(
        LabelsRequest(
            source, recipe, model, template, history, number, identity, as_json, runs, override or []
        )
    )


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Tell what this machine offers: packages, GPUs, layers of the sandbox, Slurm."""
    quiet_libraries()
    import dataclasses
    import json

    from rich.console import Console

    from hermes_train.doctor import examine, findings_table

    findings = list(examine())
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(dataclasses.asdict(finding)))
    else:
        Console().print(findings_table(findings))


@app.command()
def chat(
    model: Annotated[
        Path, typer.Argument(help="A model's folder, such as runs/demo/export/model.", show_default=False)
    ],
    think: Annotated[bool, typer.Option("--think", help="Let the model think before it answers.")] = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens in an answer.")] = 512,
) -> None:
    """Talk to a model in the terminal; an empty line or Ctrl-D ends it."""
    # First, since libraries read these settings when they are imported.
    quiet_libraries()
    from hermes_train.chat.terminal import talk

    talk(model, think, max_new_tokens)


def main() -> None:
    """Run the command line. What the user can mend ends in one line: wrong use with code 2, a failed run with 1."""
    try:
        _run_app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except RunFailedError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        typer.echo(
            f"error: {error}; nothing that was finished is lost: mend this and run the same again", err=True
        )
        sys.exit(1)
    except StopSignal as error:
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"{error}; the same command goes on from here", err=True)
        sys.exit(EXIT_STOPPED)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)


def _run_app() -> None:
    try:
        app()
    except _StoppedError as stopped:
        raise stopped.interrupt from None
