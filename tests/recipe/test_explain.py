from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from hermes_train.recipe.explain import explain, explain_in_colour
from hermes_train.recipe.load import load_recipe

Write = Callable[[str, str], Path]
ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def test_each_value_stands_beside_the_place_it_came_from(write: Write, tiny: Path) -> None:
    path = write("x.yaml", f"extends: {tiny}\nsft: {{steps: 30}}\n")
    lines = explain(load_recipe(path, ["pack.length=512"])).splitlines()
    assert f"{'name: tiny':72}# tiny.yaml:1" in lines
    assert f"{'  length: 512':72}# -o" in lines
    assert f"{'  steps: 30':72}# x.yaml:2" in lines
    assert f"{'    - name: sums':72}# tiny.yaml:7" in lines
    assert f"{'    beta1: 0.9':72}# default" in lines
    assert "sft:" in lines


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_explained_recipe_is_a_recipe_of_the_same_values(
    write: Write, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    loaded = load_recipe(path)
    again = load_recipe(write("resolved.yaml", explain(loaded)))
    assert again.values == loaded.values


def test_a_value_longer_than_its_column_keeps_a_blank_before_its_place(tiny: Path) -> None:
    long = "no-blanks-to-break-at-" * 5
    assert f"description: {long} # -o\n" in explain(load_recipe(tiny, [f"description={long}"]))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_explained_recipe_fits_in_120_columns_with_its_places_in_one(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    lines = explain(load_recipe(path)).splitlines()
    assert max(map(len, lines)) <= 120
    assert {line.index("# ") for line in lines if "# " in line} == {72}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))  # Cs: halves of characters
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_description_survives_being_explained_and_read_again(write: Write, tiny: Path, text: str) -> None:
    import yaml

    child = {"extends": str(tiny), "description": text}
    loaded = load_recipe(write("x.yaml", yaml.safe_dump(child, default_style='"')))
    assert loaded.recipe.description == text
    assert load_recipe(write("again.yaml", explain(loaded))).recipe.description == text


def test_in_colour_the_words_are_the_same(tiny: Path) -> None:
    loaded = load_recipe(tiny, ["sft.steps=9"])
    assert explain_in_colour(loaded).plain == explain(loaded)


def test_a_pipe_gets_no_escape_codes_and_no_broken_lines(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_recipe(tiny)
    Console(force_terminal=False, width=40).print(explain_in_colour(loaded), soft_wrap=True, end="")
    assert capsys.readouterr().out == explain(loaded)
