"""The recipes of the tree load, and those of the Hermes 4 models state what the report states."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes_train.recipe.load import LoadedRecipe, load_recipe
from hermes_train.recipe.tree import FileLine

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
HERMES = ["hermes4-14b", "hermes4-70b", "hermes4-405b"]
BASED_ON_HERMES = [*HERMES, "llama3-8b"]


def load(name: str) -> LoadedRecipe:
    return load_recipe(ROOT / "recipes" / f"{name}.yaml")


def value(loaded: LoadedRecipe, key: str) -> object:
    """Return the value at a dotted key."""
    found: object = loaded.values
    for part in key.split("."):
        assert isinstance(found, dict)
        found = found[part]
    return found


def test_the_tree_holds_the_recipes_that_the_documentation_names() -> None:
    assert {path.stem for path in RECIPES} == {*BASED_ON_HERMES, "demo", "smoke", "gsm8k"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_is_named_as_its_file(path: Path) -> None:
    assert load_recipe(path).recipe.name == path.stem


@pytest.mark.parametrize("name", BASED_ON_HERMES)
@pytest.mark.parametrize(
    ("key", "stated"),
    [
        ("sft.steps", 9000),
        ("sft.warmup_steps", 300),
        ("sft.schedule", "cosine"),
        ("sft.global_batch", 384),
        ("pack.length", 16384),
        ("pack.think_share", 0.92),
    ],
)
def test_all_hermes_recipes_state_the_reports_schedule_batch_and_length(
    name: str, key: str, stated: object
) -> None:
    assert value(load(name), key) == stated


@pytest.mark.parametrize(
    ("name", "base", "template", "learning_rate"),
    [
        ("hermes4-14b", "Qwen/Qwen3-14B-Base", "chatml", 5e-5),
        ("hermes4-70b", "meta-llama/Llama-3.1-70B", "llama3", 1e-5),
        ("hermes4-405b", "meta-llama/Llama-3.1-405B", "llama3", 5e-6),
    ],
)
def test_each_hermes_recipe_states_its_base_and_learning_rate(
    name: str, base: str, template: str, learning_rate: float
) -> None:
    recipe = load(name).recipe
    assert (recipe.model.base, recipe.model.template) == (base, template)
    assert recipe.sft.learning_rate == learning_rate


@pytest.mark.parametrize("name", BASED_ON_HERMES)
def test_the_tokens_trained_are_the_reports_56_billion(name: str) -> None:
    recipe = load(name).recipe
    assert round(recipe.sft.steps * recipe.sft.global_batch * recipe.pack.length / 1e9, 1) == 56.6


def test_only_the_14b_has_the_length_control_stage_at_30_000_tokens_in_32k() -> None:
    hybrid = load("hermes4-14b").recipe.hybrid
    assert hybrid.length_control is not None
    assert (hybrid.length_control.budget, hybrid.length) == (30_000, 32_768)
    for name in set(BASED_ON_HERMES) - {"hermes4-14b"}:
        assert load(name).recipe.hybrid.length_control is None


@pytest.mark.parametrize("name", BASED_ON_HERMES)
def test_the_global_batches_split_evenly_over_the_machines(name: str) -> None:
    recipe = load(name).recipe
    ranks = recipe.cluster.nodes * recipe.cluster.gpus_per_node
    for section in (recipe.sft, recipe.hybrid, recipe.dpo):
        assert section.global_batch % (ranks * section.micro_batch) == 0


@pytest.mark.parametrize("name", BASED_ON_HERMES)
def test_every_value_of_a_hermes_recipe_says_whether_the_report_states_it(name: str) -> None:
    not_of_the_report = ("name:", "description:", "format:", "licence:")
    for origin in set(load(name).origins.values()):
        if isinstance(origin, FileLine):
            line = origin.file.read_text().splitlines()[origin.line - 1]
            marked = "# report, " in line or "# our choice" in line
            assert marked or line.strip().removeprefix("- ").startswith(not_of_the_report), (
                f"{origin}: {line}"
            )


def test_the_reports_own_machines_are_those_of_the_405b_recipe() -> None:
    cluster = load("hermes4-405b").recipe.cluster
    assert (cluster.nodes * cluster.gpus_per_node, cluster.gpu) == (192, "b200")


@pytest.mark.parametrize("name", ["demo", "gsm8k", "smoke"])
def test_the_recipes_for_a_cpu_reach_no_network_service(name: str) -> None:
    recipe = load(name).recipe
    assert recipe.tracking.wandb.mode == "disabled"
    assert all(source.hub is None for source in [*recipe.data.sources, *recipe.evaluate.problems])
    assert recipe.model.random is not None or str(recipe.model.base).startswith("package:")
