"""Two and four ranks on CPU give what one process gives, losses and final weights, however the model is spread, and a
stage that goes on with another number of ranks goes on to those of the unbroken one."""

import shutil

import pytest
from rank_plans import STAGES, assert_same_weights, losses

from hermes_train.training.resume.universal import convert, is_converted

pytestmark = [pytest.mark.distributed, pytest.mark.long]

LOSS_TOLERANCE = {"fp32": 1e-5, "bf16": 1e-3}
"""Largest relative difference of a step's loss."""
WEIGHT_TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}
"""Largest relative difference of a weight tensor, by its norm. In bfloat16 AdamW turns the rounding of small gradients
into steps of full length."""


def assert_same(one, other, precision="fp32"):
    pairs = list(zip(losses(one), losses(other), strict=True))
    assert max(abs(a - b) / abs(a) for a, b in pairs) <= LOSS_TOLERANCE[precision], pairs
    assert_same_weights(one / "model", other / "model", WEIGHT_TOLERANCE[precision])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("ranks", ["two", "four"])
def test_ranks_under_zero_3_give_the_losses_and_weights_of_one_process(rank_runs, ranks, stage):
    assert_same(rank_runs / "one" / stage, rank_runs / ranks / stage)


@pytest.mark.parametrize("ranks", ["two", "four"])
def test_in_bf16_ranks_differ_from_one_process_by_rounding_alone(rank_runs, ranks):
    assert_same(rank_runs / "one" / "bf16", rank_runs / ranks / "bf16", "bf16")


@pytest.mark.parametrize("zero_stage", [0, 1, 2])
def test_every_zero_stage_gives_the_losses_and_weights_of_one_process(rank_runs, zero_stage):
    assert_same(rank_runs / "one" / "sft", rank_runs / "two" / f"zero{zero_stage}")


def test_a_second_copy_of_the_weights_for_each_node_changes_nothing(rank_runs):
    assert_same(rank_runs / "one" / "sft", rank_runs / "four" / "hpz")


def test_ranks_that_share_their_packs_give_the_losses_and_weights_of_one_process(rank_runs):
    # Two ranks begin and four go on, in two groups.
    assert_same(rank_runs / "unbroken" / "sft", rank_runs / "shared")


def test_training_changes_the_weights_that_are_compared(rank_runs):
    with pytest.raises(AssertionError):
        assert_same_weights(rank_runs / "model", rank_runs / "one" / "sft" / "model", 1e-3)


@pytest.mark.parametrize("stage", ["sft", "lora"])
@pytest.mark.parametrize("move", ["from_2_to_4", "from_4_to_1"])
def test_losses_and_weights_go_on_as_without_the_move(rank_runs, move, stage):
    unbroken, moved = rank_runs / "unbroken" / stage, rank_runs / move / stage

    pairs = list(zip(losses(unbroken), losses(moved), strict=True))

    assert len(pairs) == 6
    assert max(abs(a - b) / abs(a) for a, b in pairs) <= 1e-5
    assert_same_weights(unbroken / "model", moved / "model", 1e-5)
    assert "goes on after step 3" in (moved / "log.txt").read_text()


def test_a_universal_form_that_was_damaged_is_made_anew(rank_runs, tmp_path):
    checkpoint = shutil.copytree(
        rank_runs / "from_4_to_1" / "lora" / "checkpoint-3", tmp_path / "checkpoint-3"
    )
    weight = min((checkpoint / "global_step3_universal" / "zero").rglob("fp32.pt"))
    size = weight.stat().st_size
    assert is_converted(checkpoint)

    weight.write_bytes(weight.read_bytes()[:-100])

    assert not is_converted(checkpoint)
    convert(checkpoint)
    assert is_converted(checkpoint)
    assert weight.stat().st_size == size
