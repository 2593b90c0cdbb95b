import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from data_filters.errors import UserError
from hermes_train.chat.template import CONTROL_TAGS, FORMATS
from hermes_train.chat.vocabulary import (
    change_tokenizer,
    check_round_trip,
    own_format,
    plan_vocabulary,
    tags_named_in,
)
from hermes_train.recipe.schema import RandomModel
from hermes_train.training.weights.bases import random_llama

LLAMA = FORMATS["llama3"]
CHATML = FORMATS["chatml"]

LLAMA_31_CONTROL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(3, 248)),
]
"""The tokens of Llama-3.1 from id 128000 on."""


def byte_tokenizer():
    return random_llama(RandomModel(), 0)[1]


def vocabulary_of(tokenizer):
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)


def changed(template):
    """A byte-level tokenizer whose reserved tokens suffice for llama3 and are too few for chatml."""
    tokenizer = byte_tokenizer()
    change = plan_vocabulary(vocabulary_of(tokenizer), FORMATS[template], tokenizer.eos_token)
    assert bool(change.renamed) == (template == "llama3")
    return change_tokenizer(tokenizer, change, FORMATS[template])


def test_reserved_tokens_are_renamed_where_there_are_enough():
    tokenizer = byte_tokenizer()

    change = plan_vocabulary(vocabulary_of(tokenizer), LLAMA, tokenizer.eos_token)

    assert list(change.renamed.values()) == list(CONTROL_TAGS)
    assert change.added == ()


def test_llama_31_gets_its_tags_in_the_lowest_reserved_ids_and_no_new_row():
    vocabulary = [f"word {number}" for number in range(128_000)] + LLAMA_31_CONTROL

    change = plan_vocabulary(vocabulary, LLAMA, "<|end_of_text|>")

    assert {new: vocabulary.index(old) for old, new in change.renamed.items()} == {
        "<think>": 128002,
        "</think>": 128003,
        "<tool_call>": 128005,
        "</tool_call>": 128011,
        "<tool_response>": 128012,
        "</tool_response>": 128013,
    }
    assert (change.added, change.pad_token) == ((), "<|finetune_right_pad_id|>")


def test_llama_31_with_chatml_needs_no_new_row_either():
    change = plan_vocabulary(["word", *LLAMA_31_CONTROL], CHATML, "<|end_of_text|>")

    assert list(change.renamed.values()) == [*CONTROL_TAGS, "<|im_start|>", "<|im_end|>", "<|pad|>"]
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
def test_the_end_of_turn_is_the_eos_token_and_another_one_pads_after_saving_too(template, tmp_path):
    tokenizer = changed(template)
    tokenizer.save_pretrained(tmp_path)

    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        check_round_trip(one)
        assert one.eos_token == FORMATS[template].end_of_turn
        assert one.pad_token_id != one.eos_token_id


def test_ids_of_tokens_that_are_not_renamed_stay():
    before, after = byte_tokenizer().get_vocab(), changed("chatml").get_vocab()

    assert before.items() <= after.items()


TOKENIZERS = {template: changed(template) for template in ("llama3", "chatml")}
CODE = "def f(x):\n\treturn {'a': [x, \"<b>\"]}\n"
JSON = '{"name": "f", "arguments": {"x": "a\\n\\u00e9"}}'
pieces = st.one_of(
    st.sampled_from(CONTROL_TAGS),
    st.sampled_from(
        ["<", ">", "/", "think", "tool_", " ", "\n", "  \n\t", CODE, JSON, "é🙂", "\u0301", "\0"]
    ),
    st.text(max_size=8),
)


@pytest.mark.parametrize("template", ["llama3", "chatml"])
@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
def test_every_tag_in_any_text_is_one_token_and_the_text_comes_back(template, text):
    tokenizer = TOKENIZERS[template]
    tags = {tokenizer.convert_tokens_to_ids(tag): tag for tag in CONTROL_TAGS}

    ids = tokenizer(text, add_special_tokens=False)["input_ids"]

    assert [tags[identity] for identity in ids if identity in tags] == re.findall(
        "|".join(CONTROL_TAGS), text
    )
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_tag_that_is_several_tokens_is_found_out():
    with pytest.raises(UserError, match="the tag <think> does not survive the tokenizer"):
        check_round_trip(byte_tokenizer())


def test_a_tag_that_the_base_has_as_a_special_or_stripping_token_becomes_plain_text():
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("<think>", special=True, lstrip=True, rstrip=True)])
    change = plan_vocabulary(vocabulary_of(tokenizer), LLAMA, tokenizer.eos_token)

    check_round_trip(change_tokenizer(tokenizer, change, LLAMA))

    assert "<think>" not in change.fresh


def test_a_base_with_its_own_template_needs_the_think_pair_and_the_tags_that_it_names():
    assert tags_named_in("{{ messages }}") == ("<think>", "</think>")
    assert tags_named_in("... <tool_call> ...") == ("<think>", "</think>", "<tool_call>")


def test_the_format_of_a_base_keeps_its_pad_token_unless_it_ends_a_text():
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = "<|eot_id|>"
    vocabulary = vocabulary_of(tokenizer)

    def pad_token(ends):
        return plan_vocabulary(vocabulary, own_format(tokenizer, ends), tokenizer.eos_token).pad_token

    assert pad_token(["<|end_of_text|>"]) == "<|eot_id|>"
    assert pad_token(["<|end_of_text|>", "<|eot_id|>"]) == "<|finetune_right_pad_id|>"
    assert pad_token(["<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"]) == "<|pad|>"


def test_a_base_with_its_own_template_ends_a_turn_with_the_first_of_its_end_tokens():
    tokenizer = byte_tokenizer()

    assert own_format(tokenizer, ["<|eot_id|>", "<|end_of_text|>"]).end_of_turn == "<|eot_id|>"


def test_a_base_that_stops_nowhere_is_refused():
    with pytest.raises(UserError, match="names an end token; choose llama3 or chatml"):
        own_format(byte_tokenizer(), [])
