"""Length control with, without, and the wrong way round, from one SFT model, through the project's own stages.

    python benchmarks/length_control.py runs/demo recipes/demo.yaml OUT [--problems 40] [--arms ...] [-o KEY=VALUE]

RUN is the folder of a run of RECIPE that has come through sft. Each arm is a copy of it in OUT in which pack and hybrid
are made with one setting changed, as with `hermes-train hybrid RECIPE -o ...`:

    with          as the recipe says: unfinished thoughts of the SFT model, loss on `</think>` and the end token
    without       hybrid.length_control.share = 0
    whole thought hybrid.length_control.trained = whole_thought: the same rows, the cut thoughts trained as well

The SFT model and the model of each arm then answer held-out problems in both modes with the recipe's token budgets:
short and long lists of words to be counted, of which no prompt is among the kept rows. Unclosed is the share of
thoughts that are still open when the tokens are used up. One table, with 95 % intervals (Wilson).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from data_filters.duplicates import prompt_digest
from data_filters.files import write_jsonl
from data_filters.outputs import read_kept
from data_filters.samples import Mode
from data_filters.settings import Source
from hermes_train.evaluation.problems import held_out_problems
from hermes_train.evaluation.scores import ModeScore, wilson_interval
from hermes_train.packing.documents import load_maker
from hermes_train.recipe.load import load_recipe
from hermes_train.recipe.schema import Recipe
from hermes_train.stages.evaluate import evaluate_model

ARMS = {
    "with": [],
    "without": ["hybrid.length_control.share=0"],
    "whole thought": ["hybrid.length_control.trained=whole_thought"],
}
"""The arms by name, and what of the recipe each changes."""

_COPIED = ("run.json", "prepare", "filter", "pack", "sft")
_SAMPLES = "samples"


def main() -> None:
    """Make the arms that are not made yet, let all models answer, print the table."""
    arguments = _arguments()
    out: Path = arguments.out
    recipe = load_recipe(arguments.recipe, arguments.override).recipe
    problems = _write_problems(arguments.run, arguments.problems, out)
    models = {"sft": arguments.run / "sft" / "model"}
    for arm in arguments.arms:
        models[arm] = _make_arm(arguments, recipe.name, arm)
    scores = {
        name: _answered(recipe, arguments.run, problems, model, out / "answers" / name.replace(" ", "-"))
        for name, model in models.items()
    }
    console = Console()
    console.print(_table(scores))
    for name, by_mode in scores.items():
        console.print(_obeyed(name, by_mode))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--problems", type=int, default=40, help="of each of the two kinds")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument(
        "-o", "--override", action="append", default=[], help="a change of the recipe for all arms"
    )
    return parser.parse_args()


def _write_problems(run: Path, count: int, out: Path) -> Path:
    """Write the held-out problems; those whose prompt is among the kept rows are left out."""
    trained = {prompt_digest(sample.prompt) for sample in read_kept(run / "filter")}
    sources = [
        Source(name=f"{kind}-benchmark", synthetic=kind, rows=count, seed=2001)
        for kind in ("counts", "long_counts")
    ]
    problems = [
        problem for problem in held_out_problems(sources) if prompt_digest(problem.prompt) not in trained
    ]
    write_jsonl(out / "problems.jsonl", problems)
    return out / "problems.jsonl"


def _make_arm(arguments: argparse.Namespace, run_name: str, arm: str) -> Path:
    """Return the model of an arm; makes it unless that is done."""
    folder = arguments.out / arm.replace(" ", "-") / run_name
    if not folder.exists():
        folder.mkdir(parents=True)
        for name in _COPIED:
            source = arguments.run / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    made = arguments.out / "with" / run_name / _SAMPLES
    if made.exists() and not (folder / _SAMPLES).exists():
        # The same model thinks on the same prompts in every arm.
        shutil.copytree(made, folder / _SAMPLES)
    overrides = [part for given in (*arguments.override, *ARMS[arm]) for part in ("-o", given)]
    for stage in ("pack", "hybrid"):
        if stage == "hybrid" and (folder / "hybrid" / "manifest.json").exists():
            continue
        command = [sys.executable, "-m", "hermes_train", stage, str(arguments.recipe)]
        subprocess.run([*command, "--runs", str(folder.parent), *overrides], check=True)
    return folder / "hybrid" / "model"


def _answered(recipe: Recipe, run: Path, problems: Path, model: Path, folder: Path) -> dict[Mode, ModeScore]:
    """Return the scores of a model; lets it answer unless that is done."""
    if not (folder / "scores.json").exists():
        prepared = run / "prepare" / "model"
        maker = load_maker(prepared, recipe.model, recipe.pack, recipe.seed)
        evaluate_model(
            recipe.evaluate, recipe.data.verify, problems, model, recipe.model.dtype, maker, folder
        )
    modes = json.loads((folder / "scores.json").read_text())["modes"]
    return {mode: msgspec.convert(modes[mode], ModeScore) for mode in Mode}


def _table(scores: dict[str, dict[Mode, ModeScore]]) -> Table:
    table = Table(title="Length control: answers with a thought", title_justify="left")
    for name in ("model", "unclosed", "95 %", "accuracy", "95 %", "mean tokens"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, by_mode in scores.items():
        score = by_mode[Mode.THINK]
        unclosed = round(score.unclosed * score.problems)
        table.add_row(
            name,
            f"{score.unclosed:.1%}",
            _interval(wilson_interval(unclosed, score.problems)),
            f"{score.accuracy:.1%}",
            _interval((score.low, score.high)),
            f"{score.mean_tokens:.1f}",
        )
    return table


def _obeyed(name: str, by_mode: dict[Mode, ModeScore]) -> str:
    told = ", ".join(
        f"{mode} {score.obeyed:.1%} ({_interval((score.obeyed_low, score.obeyed_high))}, {score.problems} problems)"
        for mode, score in by_mode.items()
    )
    return f"{name}: mode obeyed: {told}"


def _interval(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{100 * low:.1f}\u2013{100 * high:.1f}"


if __name__ == "__main__":
    main()
