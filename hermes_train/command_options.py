"""What several commands share: their arguments and options, and what is made of them before heavy imports."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hermes_train.pipeline import Pipeline

RecipeArgument = Annotated[
    Path, typer.Argument(help="A recipe, such as recipes/demo.yaml.", show_default=False)
]
RunsOption = Annotated[Path, typer.Option(help="The folder that holds the runs.")]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("-o", help="Override a setting: -o sft.learning_rate=1e-5. Repeat for more."),
]


def load_pipeline(recipe: Path, runs: Path, override: list[str] | None) -> Pipeline:
    """Return a recipe and its run folder, of which nothing is made yet. Raises UserError for a wrong recipe."""
    from hermes_train.recipe.load import load_recipe

    loaded = load_recipe(recipe, override or [])
    # First, since libraries read these settings when they are imported.
    quiet_libraries()
    from rich.console import Console

    from hermes_train.pipeline import Pipeline

    return Pipeline(loaded, runs, Console())


def quiet_libraries() -> None:
    """Keep other libraries' bars and notices out of the run's output."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # DeepSpeed calls PyTorch by old names, and each of its calls would add two lines to a job's output.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
