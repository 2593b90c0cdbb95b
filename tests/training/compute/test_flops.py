import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from hermes_train.training.compute.architecture import Architecture
from hermes_train.training.compute.flops import peak_flops, step_flops

CONFIG = LlamaConfig(
    vocab_size=320,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    attn_implementation="eager",
)


ARCHITECTURE = Architecture.of_config(CONFIG)


def counted(tokens, trained):
    """The operations that PyTorch counts in a forward and a backward pass over one document."""
    model = LlamaForCausalLM(CONFIG)
    if trained == "lora":
        # What adapters need of a frozen model: the gradient of its activations, from the first layer on.
        model.requires_grad_(False)
        model.enable_input_require_grads()
    ids = torch.randint(0, CONFIG.vocab_size, (1, tokens))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("trained", ["full", "lora"])
def test_operations_are_those_that_pytorch_counts(trained):
    architecture, tokens = ARCHITECTURE, 48
    causal_half = step_flops(architecture, np.array([tokens]), trained) - step_flops(
        architecture, np.ones(tokens), trained
    )
    alone = 6 * architecture.layers * architecture.query_size * tokens
    # PyTorch's eager attention multiplies the half above the diagonal too; norms count as weights here and not there.
    expected = step_flops(architecture, np.array([tokens]), trained) + causal_half + alone

    assert counted(tokens, trained) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("trained", ["full", "lora"])
def test_the_head_is_counted_for_labelled_tokens_alone_where_they_are_known(trained):
    lengths, labelled = np.array([48, 16]), 10
    unlabelled = 64 - labelled
    head = CONFIG.vocab_size * CONFIG.hidden_size * (6 if trained == "full" else 4)

    whole = step_flops(ARCHITECTURE, lengths, trained)

    assert step_flops(ARCHITECTURE, lengths, trained, labelled) == pytest.approx(whole - unlabelled * head)
    assert step_flops(ARCHITECTURE, lengths, trained, 64) == whole


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_documents_apart_take_fewer_operations_than_one_as_long_as_all(lengths):
    apart, together = (
        step_flops(ARCHITECTURE, np.array(documents), "full") for documents in (lengths, [sum(lengths)])
    )

    assert apart <= together
    assert (apart == together) == (len(lengths) == 1)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA GB200", 2500e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_a_gpus_peak_is_known_by_its_name(name, peak):
    assert peak_flops(name) == peak
