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
        ("hybrid.length_control.trained=whole_thought", {"pack", "hybrid", "dpo", "evaluate", "export"}),
        ("hybrid.length_control.answer_tokens=9", {"hybrid", "dpo", "evaluate", "export"}),
        ("pack.length=300", ALL - {"prepare", "filter"}),
        ("model.system.think=Think!", ALL - {"filter"}),
        ("data.sources.sums.rows=50", ALL - {"prepare"}),
        ("data.sources.sums.share=0.5", ALL - {"prepare", "filter"}),
        ("export.licence=mit", {"export"}),
        ("evaluate.batch_size=2", {"evaluate", "export"}),
        ("data.sources.sums.max_tokens=50", ALL - {"prepare", "filter"}),
        ("data.engine.workers=2", set()),
        ("pack.workers=2", set()),
        ("pack.held_out=0.1", ALL - {"prepare", "filter"}),
        ("sft.save_every=5", set()),
        ("sft.gradient_checkpointing=true", set()),
        ("sft.micro_batch=2", set()),
        ("dpo.micro_batch=2", set()),
        ("parallel.zero_stage=2", set()),
        ("parallel.quantised_weights=true", ALL - {"prepare", "filter", "pack"}),
        ("parallel.quantised_gradients=true", ALL - {"prepare", "filter", "pack"}),
        ("tracking.wandb.mode=offline", set()),
        ("seed=1", ALL - {"filter"}),
    ],
)
def test_a_setting_makes_out_of_date_what_it_matters_to(override, stages):
    assert out_of_date(override) == stages


def test_micro_batches_matter_to_the_losses_that_compare_the_pairs_of_a_row():
    of_rows = "dpo.loss=aot"
    one, other = (
        stage_inputs(load_recipe(SMOKE, given).recipe)["dpo"]
        for given in ([of_rows], [of_rows, "dpo.micro_batch=2"])
    )

    assert one != other


def test_the_checkpoints_to_choose_among_matter_only_where_the_best_is_chosen():
    held_out, best = "pack.held_out=0.1", "sft.keep_best=true"

    def changed(before, *more):
        one, other = (
            stage_inputs(load_recipe(SMOKE, given).recipe)["sft"] for given in (before, [*before, *more])
        )
        return one != other

    assert changed([held_out], best)
    assert not changed([held_out], "sft.evaluate_every=4", "sft.save_every=4")
    assert not changed([held_out, best], "sft.evaluate_every=4")
    assert changed([held_out, best], "sft.save_every=4")


@pytest.mark.parametrize(
    ("override", "anew"),
    [
        ("hybrid.learning_rate=1e-4", False),
        ("hybrid.length_control.share=0.3", False),
        ("hybrid.length_control.trained=whole_thought", False),
        ("hybrid.length_control.budget=33", True),
        ("hybrid.length_control.top_k=5", True),
        ("sft.learning_rate=1e-4", True),
    ],
)
def test_the_model_thinks_anew_only_where_that_gives_other_thoughts(override, anew):
    before, after = (stage_inputs(load_recipe(SMOKE, given).recipe) for given in ((), (override,)))

    assert (before["samples"] != after["samples"]) is anew


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


def test_weights_replaced_in_a_folder_given_as_base_make_prepare_out_of_date(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
        (base / name).write_bytes(b"as it came")
    recipe = load_recipe(SMOKE, ["model.random=null", f"model.base={base}"]).recipe
    before = stage_inputs(recipe)
    (base / "model.safetensors").write_bytes(b"trained further")
    (base / "README.md").write_bytes(b"another text")

    after = stage_inputs(recipe)

    changed = {name for name in after["prepare"] if after["prepare"][name] != before["prepare"][name]}
    assert changed == {f"file {base / 'model.safetensors'}"}
    assert {stage for stage in STAGES if before[stage] != after[stage]} == ALL - {"filter"}
