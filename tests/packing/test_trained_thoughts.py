"""How long the thoughts are that a document trains, and the guard that keeps long ones out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.history import cut_thought, without_thought
from hermes_train.chat.labels import Document
from hermes_train.packing.documents import document_maker
from hermes_train.packing.store import write_store
from hermes_train.packing.trained_thoughts import ThoughtRuler, within_budget
from hermes_train.recipe.schema import ModelSection, RandomModel, SystemPrompts
from hermes_train.stages.prepare import prepared_tokenizer

OPEN, CLOSE, BLANK, WORD = 1, 2, 3, 4


class Tags:
    """A tokenizer of four tokens: what a ruler asks of one."""

    def convert_tokens_to_ids(self, tokens):
        return [{"<think>": OPEN, "</think>": CLOSE}[token] for token in tokens]

    def decode(self, tokens):
        return "\n" if tokens == [BLANK] else "word"


@pytest.fixture(scope="module")
def maker():
    section = ModelSection(random=RandomModel(), template="chatml", system=SystemPrompts(think="Think."))
    return document_maker(prepared_tokenizer(section), section.system)


def sample(thought, answer="So."):
    return Sample("a", "s", [Message("user", "q"), Message("assistant", answer, thought)])


def documents(maker, samples):
    return [document for _, document in maker.results(samples, "keep")]


@given(st.integers(0, 9), st.integers(0, 3), st.integers(0, 3))
def test_blanks_beside_the_tags_are_not_counted_and_those_within_are(words, before, after):
    thought = [WORD, BLANK] * words + [WORD]
    tokens = np.array([OPEN, *[BLANK] * before, *thought, *[BLANK] * after, CLOSE, WORD])

    assert ThoughtRuler(Tags()).longest(tokens, np.array([[0, len(tokens)]])) == len(thought)


def test_a_thought_that_the_prompt_opened_begins_with_its_span_and_one_left_open_ends_with_it():
    ruler = ThoughtRuler(Tags())
    opened_by_prompt = np.array([OPEN, BLANK, WORD, WORD, CLOSE, WORD])
    left_open = np.array([WORD, OPEN, WORD, WORD, WORD])

    assert ruler.longest(opened_by_prompt, np.array([[2, 6]])) == 2
    assert ruler.longest(left_open, np.array([[1, 5]])) == 3


def test_a_document_is_measured_by_the_thought_that_carries_loss(maker):
    thought = "x" * 30
    whole, closed, direct = documents(
        maker, [sample(thought), cut_thought(sample(thought), "x" * 20), without_thought(sample(thought))]
    )
    ruler = ThoughtRuler(maker.tokenizer)

    lengths = [ruler.longest(document.input_ids, document.spans) for document in (whole, closed, direct)]
    assert lengths == [30, 0, 0]


def test_the_guard_keeps_out_what_trains_a_thought_past_the_budget_and_nothing_else(maker, tmp_path):
    samples = [
        sample("x" * 30),
        sample("x" * 31),
        sample(None, "y" * 99),
        cut_thought(sample("x" * 99), "x" * 60),
        # Many labels, but a short thought.
        sample("x", "y" * 99),
    ]
    store = write_store(tmp_path, documents(maker, samples))

    allowed = within_budget(store, ThoughtRuler(maker.tokenizer), 30)

    assert allowed.tolist() == [True, False, True, True, True]


def test_the_longest_of_several_trained_thoughts_counts(maker, tmp_path):
    turns = [Message("user", "q"), Message("assistant", "a", "x" * 40), Message("user", "r")]
    several = Sample("b", "s", [*turns, Message("assistant", "c", "x" * 5)])
    (document,) = documents(maker, [several])
    assert isinstance(document, Document) and document.mode is Mode.THINK

    store = write_store(tmp_path, [document])

    assert within_budget(store, ThoughtRuler(maker.tokenizer), 39).tolist() == [False]
    assert within_budget(store, ThoughtRuler(maker.tokenizer), 40).tolist() == [True]
