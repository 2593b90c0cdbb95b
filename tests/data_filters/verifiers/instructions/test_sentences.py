"""Sentences are counted as NLTK's Punkt counts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.instructions.sentences import count_sentences


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n", 0),
        ("Hi", 1),
        ("Hi. ", 1),
        ("One. Two! Three? Four", 4),
        ("One!!! Two?! Three", 3),
        ("end.\nlower case.", 2),
        ("no mark\nat the line's end", 1),
        ("Mr. Smith and Dr. Jones met in St. Louis.", 1),
        ("It costs $3.50 at a.com. Cheap!", 2),
        ("It opens at 9 a.m. and closes at 5 p.m. daily, i.e. early.", 1),
        ("It is big, e.g. The Hague.", 2),
        ("They live in the U.S. They like it.", 2),
        ("John F. Kennedy spoke.", 1),
        ("The value of o. Please stay.", 2),
        ("Wait... what? No... The end.", 3),
        ("1. Wash it.\n2. Dry it.", 4),
        ("1. wash it", 1),
        ("A. Introduction\nB. Methods", 3),
        ('He said "Go." Then he left.', 2),
        ("(He left.) She stayed.", 2),
        ("**One.** Two.", 2),
        ('{"a": "One.", "b": "Two."}', 2),
        ("Bye.\n\nP.S. Remember me.", 3),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert count_sentences(text) == count


@given(st.text(alphabet=".!?) \n*aA1\"'"))
def test_there_are_no_more_sentences_than_marks_and_one(text: str) -> None:
    assert bool(text.strip()) <= count_sentences(text) <= 1 + sum(map(text.count, ".!?"))
