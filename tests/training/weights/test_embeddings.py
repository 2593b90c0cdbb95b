import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from data_filters.errors import UserError
from hermes_train.training.weights.checkpoint_files import open_checkpoint
from hermes_train.training.weights.embeddings import NOISE, find_vocabulary_tensors, new_rows, rows_after

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def llama(tied):
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=40, num_key_value_heads=1, tie_word_embeddings=tied, **SMALL)
    )


def stored(model, folder, rewrite=lambda tensors: tensors):
    """Save a model, its tensors rewritten, and return (config, checkpoint) as prepare reads them."""
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    save_file(rewrite(load_file(file)), file, metadata={"format": "pt"})
    return AutoConfig.from_pretrained(folder), open_checkpoint(folder)


def names(found):
    return [tensor.name for tensor in found.tensors]


@pytest.mark.parametrize("tied", [True, False])
def test_embedding_and_head_are_found_and_a_tied_head_is_the_embedding(tmp_path, tied):
    model = llama(tied)

    found = find_vocabulary_tensors(*stored(model, tmp_path))

    assert names(found) == ([EMBEDDING] if tied else [EMBEDDING, HEAD])
    assert (found.tied, found.copies, found.rows) == (tied, (), 40)
    assert found.parameters == model.num_parameters()
    assert found.parameters_of_a_row == (16 if tied else 32)
    assert found.architecture == "LlamaForCausalLM"


def test_the_bias_of_a_head_has_a_row_for_each_token_too(tmp_path):
    found = find_vocabulary_tensors(*stored(PhiForCausalLM(PhiConfig(vocab_size=40, **SMALL)), tmp_path))

    assert names(found) == [EMBEDDING, HEAD, "lm_head.bias"]
    assert found.parameters_of_a_row == 33


def test_names_without_the_prefix_of_the_inner_model_are_found(tmp_path):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=8))

    found = find_vocabulary_tensors(
        *stored(
            model, tmp_path, lambda tensors: {k.removeprefix("transformer."): v for k, v in tensors.items()}
        )
    )

    assert names(found) == ["wte.weight"]


def test_a_tied_head_that_is_stored_all_the_same_is_a_copy(tmp_path):
    found = find_vocabulary_tensors(
        *stored(llama(True), tmp_path, lambda tensors: tensors | {HEAD: tensors[EMBEDDING].clone()})
    )

    assert (names(found), found.copies) == ([EMBEDDING], (HEAD,))


def test_a_tied_model_may_store_its_head_alone(tmp_path):
    found = find_vocabulary_tensors(
        *stored(llama(True), tmp_path, lambda tensors: tensors | {HEAD: tensors.pop(EMBEDDING)})
    )

    assert (names(found), found.copies) == ([HEAD], ())


def test_a_tied_head_that_differs_from_the_embedding_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"ties lm_head\.weight to model\.embed_tokens\.weight, but stores them with"
    ):
        find_vocabulary_tensors(
            *stored(llama(True), tmp_path, lambda tensors: tensors | {HEAD: tensors[EMBEDDING] + 1})
        )


def test_a_checkpoint_without_the_embedding_is_refused(tmp_path):
    def without(tensors):
        tensors.pop(EMBEDDING)
        return tensors

    with pytest.raises(
        UserError, match=r"has no tensor model\.embed_tokens\.weight, which LlamaForCausalLM needs"
    ):
        find_vocabulary_tensors(*stored(llama(False), tmp_path, without))


@pytest.mark.parametrize(
    ("rewrite", "form"),
    [
        (lambda tensor: tensor[:39].clone(), r"F32 \[39, 16\]"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), r"F8_E4M3 \[40, 16\]"),
    ],
)
def test_an_embedding_of_another_shape_or_dtype_is_refused(tmp_path, rewrite, form):
    with pytest.raises(UserError, match=f"is stored as {form}, but config.json asks for"):
        find_vocabulary_tensors(
            *stored(
                llama(False), tmp_path, lambda tensors: tensors | {EMBEDDING: rewrite(tensors[EMBEDDING])}
            )
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_rows_lie_around_the_mean_of_the_others_by_half_their_spread(tmp_path, write_shards, dtype):
    # More rows than are read at a time.
    table = (torch.randn(3000, 300) * torch.rand(300) + torch.randn(300)).to(dtype)
    tensor = write_shards(tmp_path, {"table": table}).tensors["table"]
    fresh = [0, 7, 2999, *range(3000, 3400)]

    made = new_rows(tensor, 3456, fresh)

    old = table.float()[[row for row in range(3000) if row not in fresh]]
    noise = torch.randn(len(fresh), 300, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        made.values, old.mean(dim=0) + NOISE * old.std(dim=0) * noise, atol=1e-4, rtol=1e-4
    )
    assert (made.total, made.numbers) == (3456, tuple(fresh))


@pytest.mark.parametrize(
    ("rows", "tokens", "after"),
    [(40, 40, 40), (40, 12, 40), (40, 41, 128), (130, 129, 130), (128, 129, 256)],
)
def test_rows_grow_to_a_multiple_of_128_and_only_where_tokens_are_more(rows, tokens, after):
    assert rows_after(rows, tokens) == after
