"""What is wrong with a checkpoint is told in a line, and the last good one goes on."""

import json
import shutil
from pathlib import Path

import pytest
from small_disk import files_of_at_most
from small_stages import Planned, train, write_model, write_packs

from data_filters.errors import UserError
from hermes_train.training.resume.checkpoints import find_checkpoints, latest_complete
from hermes_train.training.resume.rehearsal import require_room
from hermes_train.training.resume.resuming import Way, choose_resumption, clear_leftovers
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.stage_log import DiskFullError

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with a model, packs, an unbroken stage, and one stopped after step 5 with checkpoints 4 and 5."""
    root = tmp_path_factory.mktemp("checkpoints")
    model, packs = write_model(root / "model"), write_packs(root / "packs")
    train(Planned(str(root / "unbroken"), str(model), str(packs), steps=8))
    train(Planned(str(root / "sft"), str(model), str(packs), steps=8, save_every=2, stop_after=5))
    return root


@pytest.fixture
def stage(stopped, tmp_path):
    """A copy of the stopped stage, to be damaged."""
    return shutil.copytree(stopped / "sft", tmp_path / "sft")


def go_on(stopped, stage, **changes):
    train(Planned(str(stage), str(stopped / "model"), str(stopped / "packs"), steps=8, **changes))


def losses(stage):
    return [(line["step"], line["loss"]) for line in read_metrics(stage / "metrics.jsonl")]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_a_stopped_stage_goes_on_after_its_last_step(stopped, stage, capsys):
    go_on(stopped, stage)

    assert losses(stage) == losses(stopped / "unbroken")
    assert "sft goes on after step 5" in capsys.readouterr().out


def test_a_stage_goes_on_with_other_micro_batches_to_the_same_losses(stopped, stage):
    """As after a stop for want of memory: how the global batch is split is no reason to begin anew."""
    go_on(stopped, stage, micro_batch=2)

    resumed, unbroken = (dict(losses(folder)) for folder in (stage, stopped / "unbroken"))
    assert resumed == pytest.approx(unbroken, rel=1e-6)


def test_a_stage_killed_while_it_saved_its_model_is_not_trained_one_step_more(stopped, tmp_path):
    stage = shutil.copytree(stopped / "unbroken", tmp_path / "sft")
    shutil.rmtree(stage / "model")

    go_on(stopped, stage)

    assert losses(stage) == losses(stopped / "unbroken")
    weights = Path("model", "model.safetensors")
    assert (stage / weights).read_bytes() == (stopped / "unbroken" / weights).read_bytes()


def test_a_stage_that_goes_on_saves_as_often_as_its_recipe_says_now(stopped, stage):
    go_on(stopped, stage, save_every=1)

    assert {path.name for path in stage.glob("checkpoint-*")} == {"checkpoint-7", "checkpoint-8"}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "checkpoint-5 is damaged: {} has {} bytes instead of {}; checkpoint-4 is taken instead"),
        (lambda path: path.unlink(), "checkpoint-5 is damaged: {} is missing; checkpoint-4 is taken instead"),
    ],
    ids=["truncated", "missing"],
)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_a_damaged_checkpoint_is_told_and_the_older_one_goes_on(stopped, stage, capsys, name, damage, told):
    size = (stage / "checkpoint-5" / name).stat().st_size
    damage(stage / "checkpoint-5" / name)

    go_on(stopped, stage)

    assert told.format(name, size - 100, size) in capsys.readouterr().out
    assert losses(stage) == losses(stopped / "unbroken")


def test_a_damaged_checkpoint_does_not_stay_among_those_that_are_kept(stage):
    cut(stage / "checkpoint-5" / "optimizer.pt")
    resumption = choose_resumption(stage, "sft", rank_count=1, zero_stage=0)

    clear_leftovers(resumption, stage, stage / "metrics.jsonl")

    assert [path.name for path in stage.glob("checkpoint-*")] == ["checkpoint-4"]


def test_a_damaged_mark_counts_as_a_damaged_checkpoint(stage):
    cut(stage / "checkpoint-5" / "complete.json")

    found = find_checkpoints(stage)

    assert found.latest == stage / "checkpoint-4"
    assert found.damaged[stage / "checkpoint-5"].startswith("complete.json is damaged")


def test_where_no_sound_checkpoint_is_left_the_stage_does_not_start_anew_without_a_word(stopped, stage):
    for number in (4, 5):
        cut(stage / f"checkpoint-{number}" / "optimizer.pt")

    with pytest.raises(UserError, match=r"sft has no sound checkpoint .*; bring the files back, or .*`rm -r"):
        go_on(stopped, stage)


def test_the_checkpoint_of_another_model_is_refused(stopped, stage, tmp_path):
    other = write_model(tmp_path / "other", intermediate_size=96)

    with pytest.raises(UserError, match="checkpoint-5 was saved from a model of other parameters; remove it"):
        train(Planned(str(stage), str(other), str(stopped / "packs"), steps=8))


def test_a_checkpoint_of_one_process_names_the_command_where_sharded_ranks_cannot_go_on(stage):
    with pytest.raises(UserError, match=r"continue with -o parallel\.zero_stage=0, or in one process"):
        choose_resumption(stage, "sft", rank_count=4, zero_stage=3)


@pytest.mark.parametrize(
    ("ranks", "zero_stage", "way"), [(8, 3, Way.SAME), (4, 3, Way.UNIVERSAL), (1, 0, Way.UNIVERSAL)]
)
def test_a_sharded_checkpoint_goes_on_by_the_way_that_the_ranks_need(stage, ranks, zero_stage, way):
    mark = stage / "checkpoint-5" / "complete.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"ranks": 8, "zero_stage": 3}))

    assert choose_resumption(stage, "sft", ranks, zero_stage).way is way


def test_a_sharded_checkpoint_names_the_stage_that_it_needs(stage):
    mark = stage / "checkpoint-5" / "complete.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"ranks": 8, "zero_stage": 3}))

    with pytest.raises(UserError, match=r"continue with -o parallel\.zero_stage=3"):
        choose_resumption(stage, "sft", rank_count=8, zero_stage=2)


def test_a_disk_that_is_full_shows_before_the_first_step(stopped, tmp_path):
    with (
        files_of_at_most(100_000),
        pytest.raises(DiskFullError, match=r"could not be written: the disk has .* free"),
    ):
        go_on(stopped, tmp_path / "sft")

    assert not read_metrics(tmp_path / "sft" / "metrics.jsonl")


def test_a_disk_that_fills_up_during_a_save_leaves_the_last_checkpoint(stopped, stage):
    # The weights fit and the optimizer's state, twice as large, does not.
    with (
        files_of_at_most(600_000),
        pytest.raises(DiskFullError, match="goes on after the last whole checkpoint"),
    ):
        go_on(stopped, stage, save_every=2)

    assert latest_complete(stage) == stage / "checkpoint-5"
    go_on(stopped, stage)
    assert losses(stage) == losses(stopped / "unbroken")


def test_steps_go_on_without_room_for_their_figures_until_there_is_a_checkpoint_to_save(stopped, stage):
    with (
        files_of_at_most((stage / "metrics.jsonl").stat().st_size + 10),
        pytest.raises(DiskFullError, match="checkpoint-8 could not be written"),
    ):
        go_on(stopped, stage)

    go_on(stopped, stage)
    assert losses(stage) == losses(stopped / "unbroken")


def test_too_little_room_for_the_checkpoints_to_come_is_told_with_what_they_need(tmp_path):
    with pytest.raises(
        DiskFullError, match=r"needs 4000000\.00 GB: 3 checkpoints of 1000000\.00 GB and a model"
    ):
        require_room(tmp_path, 10**15, 2, 10**15)


def test_the_rehearsal_leaves_nothing_behind(stopped):
    assert sorted(path.name for path in (stopped / "unbroken").iterdir()) == [
        "checkpoint-8",
        "log.txt",
        "metrics.jsonl",
        "model",
    ]
