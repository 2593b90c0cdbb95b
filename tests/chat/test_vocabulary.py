import pytest
import torch

from hermes_train.chat.template import CONTROL_TAGS, FORMATS
from hermes_train.chat.vocabulary import (
    change_embeddings,
    change_tokenizer,
    check_round_trip,
    plan_vocabulary,
)
from hermes_train.recipe.schema import RandomModel
from hermes_train.training.bases import random_llama

LLAMA = FORMATS["llama3"]
CHATML = FORMATS["chatml"]


def vocabulary_of(tokenizer):
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)


def prepared(template, tied):
    model, tokenizer = random_llama(RandomModel(tied_embeddings=tied), 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    vocabulary = vocabulary_of(tokenizer)
    if template == "chatml":
        # A base without reserved tokens, such as most that are not Llama 3.
        vocabulary = [token for token in vocabulary if "reserved" not in token]
    change = plan_vocabulary(vocabulary, FORMATS[template], tokenizer.eos_token)
    changed = change_tokenizer(tokenizer, change, FORMATS[template])
    rows = change_embeddings(model, changed, change)
    return model, changed, change, before, rows


def test_reserved_tokens_are_renamed_where_there_are_enough():
    _, tokenizer = random_llama(RandomModel(), 0)

    change = plan_vocabulary(vocabulary_of(tokenizer), LLAMA, tokenizer.eos_token)

    assert list(change.renamed.values()) == list(CONTROL_TAGS)
    assert change.added == ()


def test_tags_are_added_where_reserved_tokens_are_too_few():
    change = plan_vocabulary(
        ["a", "<|reserved_special_token_0|>", "<|im_start|>", "<|im_end|>"], CHATML, None
    )

    assert change.renamed == {}
    assert change.added == (*CONTROL_TAGS, "<|pad|>")


def test_tags_that_a_base_has_are_left_alone():
    vocabulary = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", *CONTROL_TAGS]

    change = plan_vocabulary(vocabulary, CHATML, "<|im_end|>")

    assert (change.renamed, change.added, change.pad_token) == ({}, (), "<|endoftext|>")


def test_the_pad_token_is_never_the_token_that_ends_a_turn_or_text():
    vocabulary = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", *CONTROL_TAGS]

    change = plan_vocabulary(vocabulary, CHATML, eos_token="<|endoftext|>")

    assert change.pad_token == "<|pad|>"


@pytest.mark.parametrize("template", ["llama3", "chatml"])
@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_lie_around_the_mean_of_the_old_and_old_rows_stay(template, tied):
    model, tokenizer, change, before, (rows_before, rows_after) = prepared(template, tied)

    fresh = tokenizer.convert_tokens_to_ids([*change.renamed.values(), *change.added])
    kept = [row for row in range(rows_before) if row not in fresh]
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        after = model.state_dict()[name]
        assert torch.equal(after[kept], before[name][kept])
        old = before[name][kept]
        scaled = (after[fresh] - old.mean(dim=0)) / old.std(dim=0)
        assert 0.4 < scaled.std() < 0.6
        assert len({tuple(row.tolist()) for row in after[fresh]}) == len(fresh), "no two tags are equal"
        assert (after[len(tokenizer) :] == 0).all()
    assert rows_after == rows_before or rows_after % 128 == 0
    assert len(tokenizer) <= rows_after == model.config.vocab_size
    assert (model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()) == tied


@pytest.mark.parametrize("template", ["llama3", "chatml"])
def test_tags_survive_the_tokenizer_in_text_code_and_json_and_after_saving(template, tmp_path):
    from transformers import AutoTokenizer

    _, tokenizer, _, _, _ = prepared(template, tied=True)
    tokenizer.save_pretrained(tmp_path)

    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        check_round_trip(one)
        assert one.eos_token == FORMATS[template].end_of_turn
        assert one.pad_token_id != one.eos_token_id


def test_a_tag_that_is_several_tokens_is_found_out():
    _, tokenizer = random_llama(RandomModel(), 0)

    with pytest.raises(ValueError, match="the tag <think> does not survive the tokenizer"):
        check_round_trip(tokenizer)
