"""Signatures find what is alike, and likeness is counted, not guessed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.near_duplicates import bands_and_rows, run_sets, signature, similarity
from data_filters.samples import Message, Sample
from data_filters.settings import NearDuplicatesSettings

SETTINGS = NearDuplicatesSettings(ngram=2)


def sample(prompt: str, answer: str, thought: str | None = None) -> Sample:
    return Sample("1", "t", [Message("user", prompt), Message("assistant", answer, thought)])


def test_similarity_is_the_share_of_word_runs_of_the_part_that_is_least_alike() -> None:
    one = run_sets(sample("a b c", "d e f g"), 2, "trace")
    other = run_sets(sample("a b c", "d e f x"), 2, "trace")

    assert similarity(one, one) == 1
    assert similarity(one, other) == 2 / 4


def test_a_thought_is_part_of_what_is_compared_by_trace_and_not_by_prompt() -> None:
    one, other = sample("a b c", "d e", "f g h"), sample("a b c", "d e", "x y z")

    assert similarity(run_sets(one, 2, "trace"), run_sets(other, 2, "trace")) < 1
    assert similarity(run_sets(one, 2, "prompt"), run_sets(other, 2, "prompt")) == 1


def test_a_text_of_fewer_words_than_a_run_is_compared_whole() -> None:
    one, other = sample("a", "yes"), sample("a", "no")

    assert similarity(run_sets(one, 5, "trace"), run_sets(other, 5, "trace")) == 0
    assert similarity(run_sets(one, 5, "trace"), run_sets(one, 5, "trace")) == 1


def test_text_without_blanks_between_words_is_compared_by_characters() -> None:
    one, other = sample("a", "今天天气很好我们去公园"), sample("a", "今天天气很好我们去学校")

    assert 0.4 < similarity(run_sets(one, 2, "trace"), run_sets(other, 2, "trace")) < 1


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_lies_between_none_and_all_and_has_no_direction(first: str, second: str) -> None:
    one, other = (run_sets(sample("p", text), 2, "trace") for text in (first, second))

    assert 0 <= similarity(one, other) == similarity(other, one) <= 1


def test_signatures_of_like_rows_are_alike_and_the_same_in_every_process() -> None:
    text = " ".join(f"word{number % 97}x{number // 7}" for number in range(400))

    one, other = (
        np.frombuffer(signature(sample("p", found), SETTINGS, "trace"), "<u4")
        for found in (text, text + " end")
    )

    assert len(one) == 128
    assert (one == other).mean() > 0.9
    assert one[:3].tolist() == [220452503, 181072105, 404071723]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_pairs_at_the_threshold_are_found_with_99_percent_and_far_ones_seldom(threshold: float) -> None:
    bands, rows = bands_and_rows(threshold)

    assert bands * rows <= 128
    assert 1 - (1 - threshold**rows) ** bands >= 0.99
    assert 1 - (1 - (threshold / 3) ** rows) ** bands < 0.2
