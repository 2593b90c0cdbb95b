"""DeepSpeed's configuration comes from the recipe alone."""

import pytest

from data_filters.errors import UserError
from hermes_train.recipe.training_sections import ParallelSection, SftSection
from hermes_train.training.zero import deepspeed_config, effective_stage, extensions_needed, lossy_sums

TRAINING = SftSection(steps=2, learning_rate=1e-4, global_batch=8)


def config(ranks=8, on_cpu=False, universal=False, **keys):
    return deepspeed_config(ParallelSection(**keys), TRAINING, ranks, on_cpu, universal)


@pytest.mark.parametrize(("ranks", "stage"), [(1, 3), (8, 0)])
def test_where_nothing_is_spread_there_is_no_deepspeed(ranks, stage):
    assert config(ranks, zero_stage=stage) is None
    assert effective_stage(ParallelSection(zero_stage=stage), ranks) == 0


def test_no_rank_is_told_to_gather_the_whole_model():
    assert config()["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is False


def test_gradients_of_many_micro_batches_are_summed_in_float32():
    assert config()["data_types"] == {"grad_accum_dtype": "fp32"}


@pytest.mark.parametrize(
    ("ranks", "precision", "stage", "shared", "refused"),
    [
        (2, "bf16", 1, 1, True),
        (8, "bf16", 1, 1, False),
        (2, "fp32", 1, 1, False),
        (2, "bf16", 2, 1, False),
        (1, "bf16", 1, 1, False),
        (8, "bf16", 3, 2, False),
    ],
)
def test_gradients_are_never_summed_in_bfloat16(ranks, precision, stage, shared, refused):
    parallel = ParallelSection(zero_stage=stage, sequence_parallel=shared)
    training = TRAINING.model_copy(update={"precision": precision})

    reason = lossy_sums(parallel, training, ranks)

    assert (reason is not None) == refused
    if refused:
        with pytest.raises(UserError, match=r"4 micro-batches in bfloat16; take parallel\.zero_stage=2"):
            deepspeed_config(parallel, training, ranks, on_cpu=False)


@pytest.mark.parametrize(
    ("offload", "kept"),
    [
        ("none", set()),
        ("optimizer", {"offload_optimizer"}),
        ("parameters", {"offload_optimizer", "offload_param"}),
    ],
)
def test_offload_moves_what_it_names(offload, kept):
    zero = config(offload=offload)["zero_optimization"]

    assert {key for key in zero if key.startswith("offload")} == kept


def test_the_keys_of_the_recipe_reach_deepspeed_under_its_names():
    keys = {
        "reduce_bucket_size": 1,
        "prefetch_bucket_size": 2,
        "persistence_threshold": 3,
        "max_live_parameters": 4,
    }
    zero = config(**keys, hierarchical_partition=8, quantised_weights=True, quantised_gradients=True)[
        "zero_optimization"
    ]

    assert zero["reduce_bucket_size"] == 1
    assert zero["stage3_prefetch_bucket_size"] == 2
    assert zero["stage3_param_persistence_threshold"] == 3
    assert zero["stage3_max_live_parameters"] == 4
    assert (zero["zero_hpz_partition_size"], zero["zero_quantized_weights"]) == (8, True)
    assert zero["zero_quantized_gradients"]


@pytest.mark.parametrize("key", ["hierarchical_partition", "sequence_parallel"])
def test_ranks_that_a_group_does_not_divide_are_refused(key):
    with pytest.raises(UserError, match=f"parallel.{key} is 3, which does not divide the 8 ranks"):
        config(**{key: 3})


def test_what_needs_gpus_is_refused_on_cpus():
    with pytest.raises(UserError, match="need GPUs"):
        config(on_cpu=True, quantised_weights=True)


@pytest.mark.parametrize(
    "keys",
    [
        {"zero_stage": 2, "offload": "parameters"},
        {"zero_stage": 2, "sequence_parallel": 2},
        {"zero_stage": 1, "quantised_weights": True},
        {"zero_stage": 0, "offload": "optimizer"},
    ],
)
def test_what_a_stage_cannot_do_is_refused_by_the_recipe(keys):
    with pytest.raises(ValueError, match="needs zero_stage"):
        ParallelSection(**keys)


def test_what_is_compiled_follows_from_what_is_used():
    assert extensions_needed(ParallelSection(), on_cpu=False) == ()
    assert extensions_needed(ParallelSection(offload="optimizer"), on_cpu=False) == ("CPUAdamBuilder",)
    assert extensions_needed(ParallelSection(quantised_weights=True), on_cpu=False) == ("QuantizerBuilder",)
