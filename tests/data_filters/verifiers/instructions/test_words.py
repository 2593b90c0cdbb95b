"""Words are counted and found as IFEval counts and finds them, and never taken for patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.instructions.words import (
    contains,
    contains_whole,
    count_capital_words,
    count_occurrences,
    count_words,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("NASA, ESA", 2),
        ("A NASA-LED TEAM'S PLAN", 5),
        ("I'm here, I'LL stay", 3),
        ("I CANNOT.", 3),
        ("DON'T", 2),
        ("**BOLD** *Bold*", 1),
        ("A1 3,000 B--C", 3),
        ("U.S. law", 1),
        ("X: Y (Z)", 3),
        ("nothing Here", 0),
    ],
)
def test_words_in_capitals_are_parted_as_nltk_parts_them(text: str, count: int) -> None:
    assert count_capital_words(text) == count


def test_words_are_runs_of_letters_digits_and_underscores() -> None:
    assert count_words("don't stop_it, 3.5 größer!") == 6


@given(st.text(alphabet="ab_ .-", max_size=3), st.text(alphabet="abAB_ .-", max_size=30))
def test_a_word_is_found_as_a_search_for_it_would_find_it(word: str, text: str) -> None:
    plain = re.escape(word.strip())
    if not word.strip():
        return

    assert contains(word, text) == bool(re.search(plain, text, re.IGNORECASE))
    assert count_occurrences(word, text) == len(re.findall(plain, text, re.IGNORECASE))


@given(st.from_regex(r"[ab]{1,3}(-[ab])?", fullmatch=True), st.text(alphabet="abAB_ .-", max_size=30))
def test_a_whole_word_stands_between_word_boundaries(word: str, text: str) -> None:
    assert contains_whole(word, text) == bool(re.search(rf"\b{word}\b", text, re.IGNORECASE))
