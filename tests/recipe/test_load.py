from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes_train.recipe.load import load_recipe
from hermes_train.recipe.tree import CommandLine, Default, FileLine, leaves

Write = Callable[[str, str], Path]
ROOT = Path(__file__).parents[2]


def test_values_come_from_the_recipe_its_bases_the_options_and_the_defaults(write: Write, tiny: Path) -> None:
    path = write("x.yaml", "extends: tiny.yaml\nsft:\n  steps: 30\n")
    loaded = load_recipe(path, ["data.sources.sums.rows=7"])
    assert (loaded.recipe.sft.steps, loaded.recipe.pack.length) == (30, 256)
    assert loaded.recipe.data.sources[0].rows == 7
    assert loaded.origins["sft.steps"] == FileLine(path, 3)
    assert loaded.origins["pack.length"] == FileLine(tiny, 11)
    assert loaded.origins["data.sources.0.rows"] == CommandLine("data.sources.sums.rows=7")
    assert loaded.origins["sft.optimizer.beta2"] == Default()
    assert (loaded.path, loaded.files) == (path, (tiny, path))
    assert loaded.overrides == ("data.sources.sums.rows=7",)


def test_the_resolved_values_hold_every_default_and_make_the_same_recipe(tiny: Path) -> None:
    loaded = load_recipe(tiny)
    assert ("sft", "optimizer", "beta2") in dict(leaves(loaded.values))
    assert type(loaded.recipe).model_validate(loaded.values) == loaded.recipe


def test_a_value_set_to_null_is_the_default_and_its_place_is_the_null(write: Write, tiny: Path) -> None:
    loaded = load_recipe(write("x.yaml", f"extends: {tiny}\nsft:\n  warmup_steps: null\n"))
    assert loaded.recipe.sft.warmup_steps == 0
    assert str(loaded.origins["sft.warmup_steps"]) == "x.yaml:3"


def test_an_optional_section_is_taken_away_by_null(write: Write, tiny: Path) -> None:
    write("base.yaml", f"extends: {tiny}\nhybrid: {{length_control: {{budget: 100}}}}\n")
    assert load_recipe(Path("base.yaml")).recipe.hybrid.length_control is not None
    child = write("x.yaml", "extends: base.yaml\nhybrid: {length_control: null}\n")
    assert load_recipe(child).recipe.hybrid.length_control is None


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


CHECK = """
import sys
from pathlib import Path
from hermes_train.recipe.explain import explain
from hermes_train.recipe.load import load_recipe
print(len(explain(load_recipe(Path("recipes/hermes4-70b.yaml")))) > 1000)
print(sorted({"torch", "transformers", "datasets", "datatrove", "pyarrow", "numpy"} & set(sys.modules)))
"""


def test_loading_and_explaining_a_recipe_imports_nothing_heavy() -> None:
    assert run_python(CHECK).splitlines() == ["True", "[]"]


def test_loading_and_explaining_the_70b_recipe_takes_less_than_a_second() -> None:
    # Processor time, start of the interpreter included: other work on the machine is not measured.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_python(CHECK)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize("given", ["tiny.yaml", "./tiny.yaml", "sub/../tiny.yaml"])
def test_places_are_written_alike_however_the_recipe_is_named(tiny: Path, given: str) -> None:
    Path("sub").mkdir()
    assert str(load_recipe(Path(given)).origins["pack.length"]) == f"{tiny}:11"
