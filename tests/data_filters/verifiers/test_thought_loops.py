"""Loops are found wherever they are and however long; what only repeats itself now and then is left alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.thought_loops import find_loop, repeated_share

SENTENCE = "I should check this sum once more before I go on."
STORY = " ".join(f"Step {n} adds {n * 7} to the total of the shop." for n in range(40))


@pytest.mark.parametrize(
    "text",
    [
        f"{SENTENCE} " * 8,
        STORY + f" {SENTENCE}" * 8,
        f"{SENTENCE} " * 8 + STORY,
        STORY + f" {SENTENCE}" * 8 + STORY,
        "wait " * 80,
        "\u597d\u7684" * 60,
        "na" * 200,
        "so a b a b c " * 12,
        "\n".join(["Let me think.", SENTENCE, "No, that is wrong."] * 8),
    ],
)
def test_a_passage_in_circles_is_found(text: str) -> None:
    assert find_loop(text, 5) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        STORY,
        f"{SENTENCE} " * 4,
        "5 + 5 + 5 + 5 + 5 + 5 + 5 + 5 + 5 + 5 = 50",
        "0 0 0 0 0 0 0 0\n" * 20,
        "=" * 200,
        "0.333333333333333333333333333333333333333333333333333333333333",
        "Wait, no. " * 6,
        "\n".join(f"{SENTENCE} Now {n}." for n in range(20)),
    ],
)
def test_what_only_repeats_itself_is_left_alone(text: str) -> None:
    assert find_loop(text, 5) is None


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.integers(0, 60), st.integers(0, 60))
def test_any_passage_that_fills_enough_words_is_found_anywhere(
    passage: list[str], before: int, behind: int
) -> None:
    repeats = max(6, -(-60 // len(passage)))
    words = [f"w{n}" for n in range(before)] + passage * repeats + [f"v{n}" for n in range(behind)]

    assert find_loop(" ".join(words), 5) is not None


def test_the_loop_says_what_comes_how_often() -> None:
    loop = find_loop(STORY + f" {SENTENCE}" * 8, 5)

    assert loop is not None
    assert (loop.repeats, loop.words) == (8, 88)
    assert sorted(loop.passage.split()) == sorted(SENTENCE.split())


@pytest.mark.parametrize(
    "text", ["a " * 300_000, "ab" * 300_000, "a b " * 60_000 + "c " * 60_000, " " * 600_000]
)
def test_a_long_text_takes_linear_time(text: str) -> None:
    started = time.process_time()

    find_loop(text, 5)

    assert time.process_time() - started < 3


def test_the_repeated_share_of_distinct_words_is_nothing() -> None:
    assert repeated_share(" ".join(map(str, range(100)))) == 0
    assert repeated_share("few words") == 0
    assert repeated_share("one two three four five six seven eight " * 2) == pytest.approx(1 / 9)
