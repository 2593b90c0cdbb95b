"""Labels equal those of oracles that write each family's format down by hand, token by token."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.samples import Message, Sample
from hermes_train.chat.labels import Document
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.packing.documents import document_maker

from .families.catalogue import OURS, PUBLIC
from .families.conversations import samples
from .families.makers import SYSTEM, TEMPLATES, maker_of, template_of, tokenizer_of
from .families.pieces import chats, tokens_and_labels

FAMILIES = {family.name: family for family in (*OURS, *PUBLIC)}
checked = settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))


def oracles(family, sample, history):
    """Return what the oracle says of each document: (tokens, labels), or None where its template loses a thought."""
    tokenizer = maker_of(family).tokenizer
    for chat in chats(sample, history, family.flag_asks, family.flag_asks_beside_system):
        pieces = list(family.write(chat))
        shown = {piece.message.reasoning for piece in pieces if piece.part == "reasoning"}
        lost = {message.reasoning or "" for message in chat.messages} - shown
        if history == "keep" and any(thought.strip() for thought in lost):
            yield None
        else:
            yield tokens_and_labels(tokenizer, pieces)


@pytest.mark.parametrize("name", FAMILIES)
@checked
@given(data=st.data())
def test_labels_equal_those_of_the_oracle(name, data):
    family = FAMILIES[name]
    sample = data.draw(samples(family))
    history = data.draw(st.sampled_from(["expand", "strip", "keep"]))

    results = [result for _, result in maker_of(family).results([sample], history)]

    oracle = list(oracles(family, sample, history))
    assert len(results) == len(oracle)
    for result, wanted in zip(results, oracle, strict=True):
        if wanted is None:
            assert isinstance(result, DocumentError)
            assert result.problem is Problem.TEMPLATE_LOST_TEXT
        else:
            assert isinstance(result, Document), result
            tokens, labels = wanted
            assert result.input_ids.tolist() == tokens
            assert result.labels.tolist() == labels


def maker_with(template):
    tokenizer = tokenizer_of(FAMILIES["smollm2"])
    tokenizer.chat_template = template
    return document_maker(tokenizer, SYSTEM)


def test_a_template_that_ends_no_turn_is_refused_at_once():
    template = (TEMPLATES / "glm4.jinja").read_text(encoding="utf-8")

    with pytest.raises(UserError, match="no special token"):
        maker_with(template)


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("message.content ~", "message.content | upper ~"),
        ("message.content ~", "message.content.replace('question', '') ~"),
        ("message.content ~", "('' if loop.index0 == 4 else message.content) ~"),
        ("message.content ~", "message.content ~ (message.content if loop.index0 == 4 else '') ~"),
        ("for message in messages", "for message in messages | reverse"),
    ],
    ids=["changed", "shortened", "left out", "twice", "out of order"],
)
def test_a_template_that_changes_what_was_said_is_refused(from_, to):
    template = template_of(FAMILIES["smollm2"])
    assert from_ in template
    maker = maker_with(template.replace(from_, to))
    messages = [
        Message("user", "a question"),
        Message("assistant", "one"),
        Message("user", "b"),
        Message("assistant", "two"),
    ]

    ((_, result),) = maker.results([Sample("a", "s", messages)], "keep")

    assert isinstance(result, DocumentError)
    assert result.problem is Problem.TEMPLATE_LOST_TEXT


@pytest.mark.parametrize("name", ["llama31", "mistral"])
def test_a_text_that_a_template_leaves_out_beside_a_call_refuses_the_row(name):
    call = {"name": "get", "arguments": {}}
    messages = [Message("user", "x"), Message("assistant", "I look.", tool_calls=[call])]

    ((_, result),) = maker_of(FAMILIES[name]).results([Sample("a", "s", messages)], "expand")

    assert isinstance(result, DocumentError)
    assert result.problem is Problem.TEMPLATE_LOST_TEXT


@pytest.mark.parametrize("name", ["gemma3", "llama31", "gpt_oss"])
def test_an_order_that_a_template_does_not_know_refuses_the_row(name):
    calls = [{"name": "get", "arguments": {}}] * 2
    disorder = {
        "gemma3": [Message("user", "x"), Message("user", "y"), Message("assistant", "z")],
        "llama31": [Message("user", "x"), Message("assistant", "", tool_calls=calls)],
        "gpt_oss": [Message("user", "x"), Message("tool", "3"), Message("assistant", "z")],
    }

    ((_, result),) = maker_of(FAMILIES[name]).results([Sample("a", "s", disorder[name])], "expand")

    assert isinstance(result, DocumentError)
    assert result.problem is Problem.TEMPLATE_REFUSED
