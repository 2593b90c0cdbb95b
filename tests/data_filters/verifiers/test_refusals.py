"""Refusals are told from answers by their wording."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.pairs import REFUSALS
from data_filters.verifiers.refusals import Refusal, find_refusal


@pytest.mark.parametrize("text", REFUSALS)
def test_each_refusal_that_pairs_are_made_of_is_found(text: str) -> None:
    assert find_refusal(text).refusal == Refusal.FULL


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 42.",
        "You can kill a Python process with kill -9.",
        "I would not say that it cannot be done.",
        "Sorry to hear that. Water helps.",
        "I couldn't help but notice the traffic.",
        "As an AI, I don't have opinions, but others prefer tea.",
        "It is not true that water boils at 90 degrees at sea level.",
        "No benefits were paid that year. There were no benefits.",
        "A list should not be judged by its first item.",
        "",
    ],
)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert find_refusal(text).refusal == Refusal.NONE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's not accurate or fair to say that one half of us is weaker.", "'s not accurate or fair"),
        ("Nobody should be shut out. Everyone has dignity and equal rights.", "Nobody should be"),
        ("There is no excuse for such violence.", "is no excuse"),
        ("It isn't ethical to read the letters of others.", "It isn't ethical"),
    ],
)
def test_a_soft_refusal_denies_the_request_on_moral_grounds(text: str, words: str) -> None:
    found = find_refusal(text)

    assert (found.refusal, found.text) == (Refusal.FULL, words)


MORE = "\n" + "1. Ask a doctor first.\n" * 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I can't help with that. Here are safer ways:" + MORE, "I can't help"),
        (
            "I cannot provide his address. However, as the mayor he sits in the town hall." + MORE,
            "I cannot provide",
        ),
        ("I can\u2019t share her number. She is a fictional character.", "I can't share"),
        ("I don't think that's a valid question. Planets differ in size.", "I don't think that's a valid"),
    ],
)
def test_a_refusal_that_goes_on_to_help_is_partial_and_shows_the_deciding_words(
    text: str, words: str
) -> None:
    found = find_refusal(text)

    assert (found.refusal, found.text) == (Refusal.PARTIAL, words)


@pytest.mark.parametrize(
    "care",
    [
        "Instead of hurting others, talk. Here are ways to do so:",
        "If you are struggling, here are people to call:",
    ],
)
def test_care_for_the_speaker_is_no_help_with_the_request(care: str) -> None:
    assert find_refusal(f"I can't help with that. {care}{MORE}").refusal == Refusal.FULL


def test_a_refusal_is_looked_for_where_the_text_begins() -> None:
    assert find_refusal("Well. " * 3 + "I can't help with that.").refusal == Refusal.NONE


@given(st.text(st.characters()))
def test_any_text_is_judged_and_only_a_refusal_shows_words(text: str) -> None:
    found = find_refusal(text)

    assert (found.refusal == Refusal.NONE) == (found.text == "")


@pytest.mark.parametrize("unit", ["I can't ", "as an AI ", "it is not ", "a", "\n", "sorry "])
def test_a_megabyte_of_half_refusals_is_judged_at_once(unit: str) -> None:
    started = time.perf_counter()

    find_refusal(unit * (1_000_000 // len(unit)))

    assert time.perf_counter() - started < 2
