"""What makes a stage out of date, and what does not."""

from pathlib import Path

import pytest

from hermes_train.recipe.load import load_recipe
from hermes_train.runs import STAGES
from hermes_train.stages.sections import stage_inputs

SMOKE = Path(__file__).parents[2] / "recipes" / "smoke.yaml"
ALL = set(STAGES)


def out_of_date(*overrides):
    """The stages whose inputs change with the overrides."""
    before, after = (stage_inputs(load_recipe(SMOKE, given).recipe) for given in ((), overrides))
    return {stage for stage in STAGES if before[stage] != after[stage]}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("dpo.beta=0.3", {"dpo", "evaluate", "export"}),
        ("sft.learning_rate=1e-4", ALL - {"prepare", "filter", "pack"}),
        ("hybrid.problems=9", {"pack", "hybrid", "dpo", "evaluate", "export"}),
        ("pack.length=300", ALL - {"prepare", "filter"}),
        ("model.system.think=Think!", ALL - {"filter"}),
        ("data.sources.sums.rows=50", ALL - {"prepare"}),
        ("data.sources.sums.share=0.5", ALL - {"prepare", "filter"}),
        ("export.licence=mit", {"export"}),
        ("evaluate.batch_size=2", {"evaluate", "export"}),
        ("data.sources.sums.max_tokens=50", ALL - {"prepare", "filter"}),
        ("data.engine.workers=2", set()),
        ("pack.workers=2", set()),
        ("sft.save_every=5", set()),
        ("parallel.zero_stage=2", set()),
        ("tracking.wandb.mode=offline", set()),
        ("seed=1", ALL - {"filter"}),
    ],
)
def test_a_setting_makes_out_of_date_what_it_matters_to(override, stages):
    assert out_of_date(override) == stages


def test_a_changed_input_is_named_by_its_key_in_the_recipe():
    before = stage_inputs(load_recipe(SMOKE).recipe)["sft"]
    after = stage_inputs(load_recipe(SMOKE, ["sft.learning_rate=1e-4"]).recipe)["sft"]

    assert {name for name in after if after[name] != before[name]} == {"recipe.sft.learning_rate"}


def test_a_source_file_that_changes_makes_the_filter_out_of_date(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"a": 1}\n')
    recipe = load_recipe(
        SMOKE,
        ["data.sources.sums.synthetic=null", f"data.sources.sums.path={rows}", "data.sources.sums.faults=0"],
    ).recipe
    before = stage_inputs(recipe)["filter"]
    rows.write_text('{"a": 1}\n{"a": 2}\n')

    after = stage_inputs(recipe)["filter"]

    assert {name for name in after if after[name] != before[name]} == {f"file {rows}"}
