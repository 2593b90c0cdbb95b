from __future__ import annotations

from dataclasses import replace

import pytest
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from hermes_train.plan.activations import AttentionMemory, Compute, Forward
from hermes_train.plan.memory import LOGITS_CHUNK, Moment, RankWork, largest_matrix
from hermes_train.plan.sharding import SUB_GROUP_SIZE, Offload, Sharding
from hermes_train.plan.states import Trained, model_states
from hermes_train.recipe.training_sections import LoraSection, ParallelSection, SftSection
from hermes_train.training.compute.architecture import KNOWN_BASES, Architecture
from hermes_train.training.compute.loss import CHUNK_BYTES
from hermes_train.training.zero import deepspeed_config

GPUS_PER_NODE = 8
FORWARD = Forward(16_384, 16_384, Compute.BFLOAT16, AttentionMemory.FLASH, checkpointing=True)


def sharding_of(architecture: Architecture, ranks: int, **parallel: object) -> Sharding:
    """What a recipe with these `parallel` settings means."""
    # One micro-batch a step, which stage 1 asks for.
    section = SftSection(steps=10, learning_rate=1e-5, global_batch=ranks)
    config = deepspeed_config(ParallelSection.model_validate(parallel), section, ranks, on_cpu=False)
    return Sharding.of(config, ranks, architecture.hidden_size)


@pytest.mark.parametrize("base", ["meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-405B", "Qwen/Qwen3-14B"])
@pytest.mark.parametrize("nodes", [1, 16])
@pytest.mark.parametrize("offload", list(Offload))
def test_states_of_zero_3_agree_with_deepspeed_s_own_estimator(
    base: str, nodes: int, offload: Offload
) -> None:
    architecture = KNOWN_BASES[base]
    ranks = nodes * GPUS_PER_NODE
    sharding = sharding_of(architecture, ranks, offload=offload.value)
    trained = Trained.of(architecture, None)
    with_factor, on_gpu, largest_layer = estimate_zero3_model_states_mem_needs(
        architecture.parameters,
        largest_matrix(architecture),
        num_gpus_per_node=GPUS_PER_NODE,
        num_nodes=nodes,
        cpu_offload=offload is not Offload.NONE,
        cpu_offload_params=offload is Offload.PARAMETERS,
        additional_buffer_factor=1.5,
    )

    states = model_states(trained, sharding, Compute.BFLOAT16)

    kept = states.weights + states.gradients + states.optimizer
    assert kept == pytest.approx(on_gpu - largest_layer, abs=8)
    if offload is not Offload.NONE:
        # The estimator's factor of 1.5 is for what lies there beside the states.
        assert with_factor / 1.5 <= GPUS_PER_NODE * states.host <= with_factor


def test_states_of_zero_2_are_the_estimator_s_without_its_second_gradients() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-8B"]
    _, on_gpu = estimate_zero2_model_states_mem_needs(
        architecture.parameters, num_gpus_per_node=GPUS_PER_NODE, cpu_offload=False
    )
    trained = Trained.of(architecture, None)

    states = model_states(trained, sharding_of(architecture, 8, zero_stage=2), Compute.BFLOAT16)

    second_gradients = 2 * architecture.parameters / GPUS_PER_NODE
    kept = states.weights + states.gradients + states.optimizer
    assert kept == pytest.approx(on_gpu - second_gradients, abs=8)


@pytest.mark.parametrize("ranks", [2, 4])
def test_offload_at_stages_1_and_2_is_the_estimator_s_with_the_gradients_that_stay_on_the_gpu(
    ranks: int,
) -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-8B"]
    on_cpus, on_gpu = estimate_zero2_model_states_mem_needs(
        architecture.parameters, num_gpus_per_node=ranks, cpu_offload=True, additional_buffer_factor=1
    )
    trained = Trained.of(architecture, None)

    for stage, gradients in ((1, 2 * architecture.parameters), (2, 4 * architecture.parameters // ranks)):
        sharding = sharding_of(architecture, ranks, zero_stage=stage, offload="optimizer")
        states = model_states(trained, sharding, Compute.BFLOAT16)

        # The estimator has weights alone on the GPU; a real step adds its micro-batches up there.
        assert (states.weights, states.gradients, states.optimizer) == (on_gpu, gradients, 0)
        assert ranks * states.host == pytest.approx(on_cpus, abs=8)


@given(
    base=st.sampled_from(sorted(KNOWN_BASES)),
    ranks=st.sampled_from([2, 8, 64]),
    lora=st.sampled_from([None, LoraSection()]),
)
def test_each_stage_and_each_offload_leaves_less_on_a_gpu(
    base: str, ranks: int, lora: LoraSection | None
) -> None:
    architecture = KNOWN_BASES[base]
    trained = Trained.of(architecture, lora)

    def kept(**parallel: object) -> int:
        states = model_states(trained, sharding_of(architecture, ranks, **parallel), Compute.BFLOAT16)
        return states.weights + states.gradients + states.optimizer

    by_stage = [kept(zero_stage=stage) for stage in (0, 1, 3)]
    by_offload = [kept(offload=offload) for offload in ("none", "optimizer", "parameters")]

    assert by_stage == sorted(by_stage, reverse=True)
    assert by_offload == sorted(by_offload, reverse=True)


def test_a_second_copy_in_each_node_costs_its_share_of_the_weights() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-70B"]
    trained = Trained.of(architecture, None)

    plain = model_states(trained, sharding_of(architecture, 128), Compute.BFLOAT16)
    hierarchical = model_states(
        trained, sharding_of(architecture, 128, hierarchical_partition=8), Compute.BFLOAT16
    )

    assert hierarchical.weights - plain.weights == 2 * architecture.parameters // 8
    assert hierarchical.optimizer == plain.optimizer


@pytest.mark.parametrize("rank", [4, 16])
def test_adapters_have_as_many_parameters_as_peft_gives_them(rank: int) -> None:
    config = LlamaConfig(
        vocab_size=100,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    adapted = get_peft_model(
        LlamaForCausalLM(config), LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    )

    trained = Trained.of(Architecture.of_config(config), LoraSection(rank=rank))

    assert (trained.parameters, trained.all) == adapted.get_nb_trainable_parameters()


@given(ranks=st.sampled_from([8, 16, 64, 128]), base=st.sampled_from(sorted(KNOWN_BASES)))
def test_more_ranks_never_need_more_memory_each(ranks: int, base: str) -> None:
    architecture = KNOWN_BASES[base]

    def needed(count: int) -> int:
        sharding = sharding_of(architecture, count)
        return RankWork(architecture, Trained.of(architecture, None), sharding, FORWARD).peak().total

    assert needed(2 * ranks) <= needed(ranks)


def test_the_peak_is_the_largest_moment_and_the_sum_of_its_parts() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-8B"]
    work = RankWork(architecture, Trained.of(architecture, None), sharding_of(architecture, 8), FORWARD)

    peak = work.peak()

    assert peak.total == max(work.memory(moment).total for moment in Moment) == sum(peak.parts.values())


def test_adapters_spare_the_gradient_of_the_head() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-8B"]
    full = RankWork(architecture, Trained.of(architecture, None), sharding_of(architecture, 8), FORWARD)
    adapters = replace(full, trained=Trained.of(architecture, LoraSection(rank=16)))

    spared = full.memory(Moment.LOSS).logits - adapters.memory(Moment.LOSS).logits

    assert spared == (4 + 2) * architecture.embedding_parameters


def test_weights_in_four_bits_take_about_a_quarter_of_what_they_take_in_sixteen() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-8B"]

    def weights(quantize: str) -> int:
        lora = LoraSection.model_validate({"rank": 16, "quantize": quantize})
        return model_states(Trained.of(architecture, lora), Sharding(1), Compute.BFLOAT16).weights

    outside = 2 * (2 * architecture.embedding_parameters)
    adapters = 4 * Trained.of(architecture, LoraSection(rank=16)).parameters
    four_bits, sixteen = (weights(quantize) - outside - adapters for quantize in ("nf4", "none"))

    # Norms stay in 16 bits.
    assert four_bits / sixteen == pytest.approx((0.5 + 1 / 64) / 2, rel=0.01)


def test_what_is_kept_as_facts_is_what_the_libraries_do() -> None:
    assert CHUNK_BYTES["cuda"] == LOGITS_CHUNK
    assert DeepSpeedZeroConfig().sub_group_size == SUB_GROUP_SIZE
