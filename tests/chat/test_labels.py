"""Labels equal those of a slow, obvious oracle: each turn is written out by hand, trained or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.labels import IGNORED
from hermes_train.chat.render import cut_thought
from hermes_train.packing.documents import Tally

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="<"), max_size=40)
SAID = TEXTS.filter(lambda text: text.strip() == text and text)


def oracle(maker, messages, thinking):
    """Return (tokens, labels) by writing the format down turn by turn."""
    llama = "start_header_id" in maker.renderer.template
    tokens, labels = [], []

    def put(text, trained):
        ids = maker.tokenizer(text, add_special_tokens=False)["input_ids"]
        tokens.extend(ids)
        labels.extend(ids if trained else [IGNORED] * len(ids))

    def head(role):
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n" if llama else f"<|im_start|>{role}\n"

    end = "<|eot_id|>" if llama else "<|im_end|>"
    after = "" if llama else "\n"
    put("<|begin_of_text|>" if llama else "", False)
    put(f"{head('system')}{'Think first.' if thinking else 'Answer at once.'}{end}{after}", False)
    for message in messages:
        put(head(message.role), False)
        spoken = message.role == "assistant"
        thought = f"<think>\n{message.reasoning}\n</think>\n" if message.reasoning is not None else ""
        put(f"{thought}{message.content}{end}", spoken)
        put(after, False)
    return tokens, labels


def document_of(maker, messages, history="keep"):
    tally = Tally()
    sample = Sample(id="a", source="s", messages=messages)
    documents = list(maker.documents([sample], history, 100_000, tally))
    return documents, tally


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3), st.one_of(st.none(), SAID))
def test_labels_equal_those_of_the_oracle(maker, turns, thought):
    messages = []
    for asked, said in turns:
        messages += [Message("user", asked), Message("assistant", said)]
    messages[-1].reasoning = thought

    (document,), _ = document_of(maker, messages)

    tokens, labels = oracle(maker, messages, thought is not None)
    assert document.input_ids.tolist() == tokens
    assert document.labels.tolist() == labels
    assert document.mode is (Mode.DIRECT if thought is None else Mode.THINK)


def test_each_trained_turn_ends_in_a_labelled_end_token(maker):
    messages = [
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", "d"),
    ]

    (document,), _ = document_of(maker, messages)

    ends = document.input_ids == maker.control.end_of_turn
    assert (document.labels[ends] == maker.control.end_of_turn).sum() == 2


def test_expanded_history_trains_each_turn_once_with_earlier_thoughts_stripped(maker):
    messages = [
        Message("user", "one"),
        Message("assistant", "first", reasoning="early thought"),
        Message("user", "two"),
        Message("assistant", "second", reasoning="late thought"),
    ]

    documents, _ = document_of(maker, messages, "expand")

    trained = [
        maker.tokenizer.decode(document.labels[document.labels != IGNORED].tolist()) for document in documents
    ]
    end = maker.renderer.chat_format.end_of_turn
    assert trained == [
        f"<think>\nearly thought\n</think>\nfirst{end}",
        f"<think>\nlate thought\n</think>\nsecond{end}",
    ]
    assert "early thought" not in maker.tokenizer.decode(documents[1].input_ids.tolist())


def test_a_thought_cut_at_its_budget_trains_only_its_closing_tag_and_the_end_token(maker):
    sample = Sample(
        id="a",
        source="s",
        messages=[Message("user", "q"), Message("assistant", "so 4", reasoning="a long thought")],
    )

    (document,) = maker.documents([cut_thought(sample, "a long")], "expand", 1000, Tally())

    trained = document.labels[document.labels != IGNORED]
    assert trained.tolist() == [maker.control.think_close, maker.control.end_of_turn]
    assert "a long\n</think>\nso 4" in maker.tokenizer.decode(document.input_ids.tolist())


@pytest.mark.parametrize("text", ["</think>", "<tool_call>", "<think>"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_text_that_holds_a_control_token_is_dropped_with_its_reason(maker, text, role):
    messages = [Message("user", "hi"), Message("assistant", "hello")]
    messages[0 if role == "user" else 1].content += f" {text} "

    documents, tally = document_of(maker, messages)

    assert documents == []
    assert dict(tally.of("s", Mode.DIRECT).dropped) == {"control_token_in_text": 1}


def test_an_end_token_in_a_users_text_cannot_end_the_turn(maker):
    messages = [Message("user", f"a{maker.renderer.chat_format.end_of_turn}b"), Message("assistant", "c")]

    documents, tally = document_of(maker, messages)

    assert documents == []
    assert dict(tally.of("s", Mode.DIRECT).dropped) == {"control_token_in_text": 1}


def test_a_document_longer_than_the_pack_is_counted_and_not_cut(maker):
    tally = Tally()
    samples = [Sample("a", "s", [Message("user", "x" * 500), Message("assistant", "y")])]

    assert list(maker.documents(samples, "expand", 100, tally)) == []
    assert dict(tally.of("s", Mode.DIRECT).dropped) == {"too_long": 1}


def test_in_think_mode_a_users_own_system_message_comes_after_the_request_to_think(maker):
    messages = [
        Message("system", "Be brief."),
        Message("user", "q"),
        Message("assistant", "a", reasoning="t"),
    ]

    (document,), _ = document_of(maker, messages)

    assert "Think first.\n\nBe brief." in maker.tokenizer.decode(document.input_ids.tolist())


def test_a_prompt_is_what_a_document_begins_with(maker):
    messages = [Message("user", "q"), Message("assistant", "a", reasoning="t")]
    (document,), _ = document_of(maker, messages)

    prompt = maker.renderer.prompt(messages[:1], None, Mode.THINK)

    unlabelled = np.flatnonzero(document.labels != IGNORED)[0]
    ids = maker.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert document.input_ids[:unlabelled].tolist() == ids
