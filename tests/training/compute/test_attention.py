"""Which path attention takes, that `varlen` computes what SDPA does, and that paths which mix documents are refused."""

import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from data_filters.errors import UserError
from hermes_train.recipe.schema import RandomModel
from hermes_train.recipe.training_sections import LoraSection
from hermes_train.training.compute import attention_probe
from hermes_train.training.compute.attention import attention_note, choose_attention
from hermes_train.training.compute.attention_probe import require_documents_apart
from hermes_train.training.compute.kernels import choose_kernels
from hermes_train.training.compute.loss import LogitsForm
from hermes_train.training.compute.varlen import document_edges, varlen_attention
from hermes_train.training.weights.bases import random_llama
from hermes_train.training.weights.quantisation import quantisation

CPU = torch.device("cpu")
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="tells what is done without a GPU")
SMALL = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128}
FAMILIES = {
    "llama": LlamaConfig(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=32),
    "granite": GraniteConfig(**SMALL, logits_scaling=8.0),
    "405b": LlamaConfig(hidden_size=1024, num_attention_heads=32, num_key_value_heads=2, vocab_size=128256),
}


@no_gpu
def test_auto_takes_attention_within_documents_and_no_mask():
    assert choose_attention("auto") == "varlen"
    assert choose_kernels("auto") == "torch"
    assert attention_note("varlen") == "attention: varlen"
    assert "hides" in attention_note("sdpa")


@no_gpu
@pytest.mark.parametrize(
    "choose",
    [
        lambda: choose_attention("flash_attention_2"),
        lambda: choose_attention("flash_attention_4"),
        lambda: choose_kernels("liger"),
        lambda: quantisation(LoraSection(quantize="nf4"), 0),
    ],
)
def test_what_needs_a_gpu_is_refused_with_what_to_take_instead(choose):
    with pytest.raises(UserError, match=r"GPU.* take (auto|none)"):
        choose()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
@pytest.mark.parametrize("family", FAMILIES)
def test_paths_that_keep_documents_apart_pass_the_try(family, attention, precision):
    require_documents_apart(FAMILIES[family], attention, "torch", precision, CPU)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_path_that_lets_documents_see_each_other_is_refused(precision):
    AttentionInterface.register("causal_over_all", sdpa_attention_forward)
    AttentionMaskInterface.register("causal_over_all", lambda **_: None)

    with pytest.raises(
        UserError, match=r"model\.attention causal_over_all and kernels torch do not give the losses"
    ):
        require_documents_apart(FAMILIES["llama"], "causal_over_all", "torch", precision, CPU)


def test_a_family_whose_logits_our_loss_does_not_know_is_refused(monkeypatch):
    monkeypatch.setattr(LogitsForm, "of", classmethod(lambda cls, config: cls()))

    with pytest.raises(UserError, match="granite"):
        require_documents_apart(FAMILIES["granite"], "sdpa", "torch", "fp32", CPU)


def test_the_try_leaves_the_runs_random_numbers_as_they_are():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)

    require_documents_apart(FAMILIES["llama"], "varlen", "torch", "fp32", CPU)

    assert torch.equal(torch.rand(3), expected)


def test_the_try_is_on_a_model_with_the_head_size_and_groups_of_the_real_one():
    config = LlamaConfig(hidden_size=16384, num_attention_heads=128, num_key_value_heads=8)

    small = attention_probe.small_model(config, "sdpa", CPU)

    assert small.config.num_attention_heads // small.config.num_key_value_heads == 16
    assert small.config.head_dim == 128
    assert sum(parameter.numel() for parameter in small.parameters()) < 3e7


def sums_by_path(config, paths, **inputs):
    """The logits and the gradient of the first weight, by path, of the same model."""
    torch.manual_seed(0)
    model = (
        random_llama(RandomModel(), 0)[0]
        if config is None
        else attention_probe.small_model(config, "sdpa", CPU)
    )
    found = []
    for path in paths:
        model.set_attn_implementation(path)
        model.zero_grad()
        logits = model(**inputs, use_cache=False).logits
        logits.square().sum().backward()
        found.append((logits.detach(), next(model.parameters()).grad.clone()))
    return found


@pytest.mark.parametrize(
    "inputs",
    [
        {"position_ids": torch.tensor([[*range(10), *range(20), *range(2)]])},
        {"position_ids": torch.arange(32)[None]},
        {},
        {"attention_mask": torch.tensor([[0] * 5 + [1] * 27])},
    ],
    ids=["three documents", "one document", "no positions", "padding on the left"],
)
@pytest.mark.parametrize("rows", [1, 2])
def test_varlen_computes_what_sdpa_does(inputs, rows):
    tokens = torch.randint(99, (rows, 32), generator=torch.Generator().manual_seed(0))
    inputs = {name: value.expand(rows, -1) for name, value in inputs.items()}

    sdpa, varlen = sums_by_path(None, ("sdpa", "varlen"), input_ids=tokens, **inputs)

    for one, other in zip(sdpa, varlen, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_varlen_sees_no_further_back_than_a_sliding_window():
    config = MistralConfig(**SMALL, sliding_window=6)
    tokens = torch.randint(99, (1, 32), generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[*range(4), *range(28)]])

    eager, varlen = sums_by_path(config, ("eager", "varlen"), input_ids=tokens, position_ids=positions)

    for one, other in zip(eager, varlen, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_varlen_generates_what_sdpa_generates():
    model = random_llama(RandomModel(), 0)[0].eval()
    prompt = {"input_ids": torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4]])}
    prompt["attention_mask"] = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    texts = []
    for path in ("sdpa", "varlen"):
        model.set_attn_implementation(path)
        texts.append(model.generate(**prompt, max_new_tokens=6, do_sample=False, pad_token_id=0))

    assert torch.equal(*texts)


def test_varlen_refuses_what_it_would_leave_out():
    one = torch.ones(1, 2, 4, 8)

    with pytest.raises(UserError, match="caps attention scores"):
        varlen_attention(torch.nn.Identity(), one, one, one, None, softcap=50.0)


def test_documents_begin_where_positions_do_not_go_on():
    positions = torch.tensor([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]])

    assert document_edges(positions, 2, 5, CPU).tolist() == [0, 3, 5, 6, 10]
    assert document_edges(None, 2, 5, CPU).tolist() == [0, 5, 10]
