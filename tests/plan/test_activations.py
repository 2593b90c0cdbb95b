"""The sums of `plan.activations` against what autograd really saves in the layers of transformers."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen3Config
from trl.models.activation_offloading import OffloadActivations

from hermes_train.plan.activations import (
    UNDER_WAY,
    AttentionMemory,
    Compute,
    Forward,
    held_after_forward,
    held_by_layers,
    held_in_backward,
    saved_by_layer,
)
from hermes_train.plan.memory import RankWork
from hermes_train.plan.sharding import Sharding
from hermes_train.plan.states import Trained
from hermes_train.training.compute.architecture import KNOWN_BASES, Architecture

TOKENS = 192
FIRST_DOCUMENT = 80
"""Tokens of the first of two documents."""

LLAMA_8B = KNOWN_BASES["meta-llama/Llama-3.1-8B"]
ON_ONE_GPU = Forward(16_384, 16_384, Compute.BFLOAT16, AttentionMemory.FLASH, checkpointing=True)


def config_of(family: type[PretrainedConfig]) -> PretrainedConfig:
    return family(
        vocab_size=270,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        # The key-value cache would be held as well.
        use_cache=False,
    )


def saved_bytes(config: PretrainedConfig, forward: Forward) -> int:
    """The bytes that autograd saves in the layers of a model with random weights, each storage once, weights left out;
    copies of weights that autocast makes are among them."""
    rank = forward.adapter_rank
    eager = forward.attention is AttentionMemory.EAGER
    model = AutoModelForCausalLM.from_config(
        config,
        dtype=torch.bfloat16 if forward.compute in (Compute.BFLOAT16, Compute.ADAPTERS) else torch.float32,
        attn_implementation="eager" if eager else "sdpa",
    ).train()
    if forward.checkpointing:
        model.gradient_checkpointing_enable()
    if rank:
        # DeepSpeed turns adapters to the dtype of the compute; without it PEFT keeps them in float32.
        adapted = get_peft_model(
            model,
            LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"),
            autocast_adapter_dtype=forward.compute is Compute.ADAPTERS,
        )
        # As where gradients flow in from a layer before.
        adapted.enable_input_require_grads()
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    ids = torch.arange(forward.tokens)[None] % config.vocab_size
    positions = torch.arange(forward.tokens)[None]
    if forward.attention is AttentionMemory.MASKED:
        positions = torch.where(positions < FIRST_DOCUMENT, positions, positions - FIRST_DOCUMENT)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=forward.compute.casts_inputs),
    ):
        model.model(input_ids=ids, position_ids=positions, use_cache=False)
    return sum(storage.nbytes() for storage in saved.values())


@pytest.mark.parametrize("family", [LlamaConfig, Qwen3Config])
@pytest.mark.parametrize("compute", [Compute.BFLOAT16, Compute.AUTOCAST, Compute.FLOAT32])
@pytest.mark.parametrize("attention", list(AttentionMemory))
@pytest.mark.parametrize("checkpointing", [False, True])
def test_saved_activations_are_those_that_hooks_see(
    family: type[PretrainedConfig], compute: Compute, attention: AttentionMemory, checkpointing: bool
) -> None:
    config = config_of(family)
    forward = Forward(TOKENS, TOKENS, compute, attention, checkpointing)
    shape = Architecture.of_config(config)
    copies = RankWork(shape, Trained.of(shape, None), Sharding(1), forward).autocast_copies()

    predicted = held_after_forward(shape, forward) + (0 if checkpointing else copies)

    # Norms are counted among the matrices that autocast copies: under 1 %.
    assert predicted == pytest.approx(saved_bytes(config, forward), rel=0.01 if copies else 1e-9)


@pytest.mark.parametrize("compute", [Compute.BFLOAT16, Compute.ADAPTERS, Compute.FLOAT32])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_with_adapters_saved_activations_are_those_that_hooks_see(
    compute: Compute, checkpointing: bool
) -> None:
    config = config_of(LlamaConfig)
    forward = Forward(TOKENS, TOKENS, compute, AttentionMemory.FLASH, checkpointing, adapter_rank=4)

    predicted = held_after_forward(Architecture.of_config(config), forward)

    assert predicted == pytest.approx(saved_bytes(config, forward), rel=0.02)


def test_checkpoints_of_the_405b_are_the_68_gb_of_its_recipe() -> None:
    architecture = KNOWN_BASES["meta-llama/Llama-3.1-405B"]

    held = held_by_layers(architecture, ON_ONE_GPU)

    assert held == 126 * 16_384 * 16_384 * 2
    assert round(held / 1e9) == 68


def test_checkpointing_holds_one_layer_instead_of_all() -> None:
    without = replace(ON_ONE_GPU, checkpointing=False)

    spared = held_in_backward(LLAMA_8B, without) - held_in_backward(LLAMA_8B, ON_ONE_GPU)

    checkpoints = held_by_layers(LLAMA_8B, ON_ONE_GPU)
    angles = 16_384 * 2 * 2 * 128
    assert spared == 31 * saved_by_layer(LLAMA_8B, ON_ONE_GPU) - checkpoints + angles


def test_offloaded_checkpoints_leave_a_few_on_the_gpu() -> None:
    offloaded = replace(ON_ONE_GPU, offload=True)

    spared = held_after_forward(LLAMA_8B, ON_ONE_GPU) - held_after_forward(LLAMA_8B, offloaded)

    assert spared == (32 - UNDER_WAY) * 16_384 * 4096 * 2
    assert signature(OffloadActivations).parameters["max_fwd_stash_size"].default == UNDER_WAY


def test_ranks_that_share_a_pack_hold_a_part_of_its_activations_each() -> None:
    shared = replace(ON_ONE_GPU, tokens=16_384 // 4)

    assert 4 * held_in_backward(LLAMA_8B, shared) == held_in_backward(LLAMA_8B, ON_ONE_GPU)
