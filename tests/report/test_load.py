import json
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.report.load import Progress, load_run, load_scores
from hermes_train.runs import STAGES


def test_a_finished_run_is_read_whole(run_folder: Path) -> None:
    run = load_run(run_folder)

    assert run.card is not None
    assert run.card.name == "demo"
    assert set(run.progress.values()) == {Progress.DONE}
    assert list(run.scores) == ["base", "sft", "hybrid", "dpo"]
    assert len(run.metrics["sft"]) == 120
    assert run.filter is not None
    assert run.filter.sources["sums"].rejected["thought_wrong_step"] == 24
    assert run.pack is not None
    assert run.pack.fill == 0.99994
    assert run.training["dpo"].pairs == {"trace": 96, "constraint": 40, "refusal": 24}
    assert run.export is not None
    assert run.export.tensors == 272


def test_an_empty_folder_is_a_run_of_which_nothing_is_done(tmp_path: Path) -> None:
    run = load_run(tmp_path)

    assert list(run.progress) == list(STAGES)
    assert set(run.progress.values()) == {Progress.NOT_DONE}
    assert (run.card, run.filter, run.pack, run.export, run.recipe) == (None,) * 5
    assert not run.scores


def test_a_stage_without_its_manifest_has_started_and_is_not_done(run_folder: Path) -> None:
    (run_folder / "hybrid" / "manifest.json").unlink()

    run = load_run(run_folder)

    assert run.progress["hybrid"] is Progress.STARTED
    assert "hybrid" not in run.training
    assert len(run.metrics["hybrid"]) == 60


def test_a_last_line_cut_short_by_a_kill_is_no_step(run_folder: Path) -> None:
    metrics = run_folder / "sft" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])

    assert len(load_run(run_folder).metrics["sft"]) == 119


def test_a_loss_that_is_not_a_number_is_read_as_none(run_folder: Path) -> None:
    line = (
        '{"step": 121, "loss": NaN, "lr": 0.0001, "grad_norm": Infinity, '
        '"tokens": 9, "label_tokens": 4, "seconds": 1}'
    )
    with (run_folder / "sft" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")

    last = load_run(run_folder).metrics["sft"][-1]

    assert (last.loss, last.grad_norm, last.lr) == (None, None, 0.0001)


def test_a_line_that_is_not_a_step_is_refused_with_its_number(run_folder: Path) -> None:
    metrics = run_folder / "sft" / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines()
    metrics.write_text("\n".join([lines[0], '{"step": "two"}', *lines[2:], ""]), encoding="utf-8")

    with pytest.raises(UserError) as refusal:
        load_run(run_folder)

    assert str(refusal.value) == (
        f"{metrics}:2: Expected `int`, got `str` - at `$.step`; "
        "this is not what the stage writes: delete the stage's folder and run it again"
    )


def test_figures_of_the_wrong_type_are_refused_and_never_read_as_zero(run_folder: Path) -> None:
    path = run_folder / "pack" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["figures"]["fill"] = "full"
    path.write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(UserError, match=r"pack/manifest.json: Expected `float`, got `str`.*figures.fill"):
        load_run(run_folder)


def test_a_histogram_needs_one_more_edge_than_counts(run_folder: Path) -> None:
    path = run_folder / "pack" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["figures"]["length_histogram"]["counts"].append(1)
    path.write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(UserError, match="14 counts need 15 edges, got 14"):
        load_run(run_folder)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        load_scores(tmp_path / "missing")

    assert str(refusal.value) == (
        f"{tmp_path}/missing is not a folder; "
        "`hermes-train run RECIPE` makes the folder that a report tells of"
    )


def test_the_scores_come_in_the_order_in_which_the_models_came_to_be(run_folder: Path) -> None:
    (run_folder / "evaluate" / "sft" / "scores.json").unlink()

    assert list(load_scores(run_folder)) == ["base", "hybrid", "dpo"]
