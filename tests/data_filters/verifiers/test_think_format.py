"""A thought opens first, closes once, is not empty, and leaves no tag in the answer."""

import pytest

from data_filters.samples import Message, Mode, Outcome, Sample
from data_filters.settings import ThinkSettings
from data_filters.verifiers.think_format import check, check_text, repeated_share

SETTINGS = ThinkSettings()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>a</think>b", "think_ok"),
        ("\n<think>\na\n</think>\n\nb", "think_ok"),
        ("<think>a b", "think_unclosed"),
        ("a</think>b", "think_unopened"),
        ("b", "think_unopened"),
        ("Well: <think>a</think>b", "think_unopened"),
        ("<think>a<think>b</think>c", "think_twice"),
        ("<think>a</think><think>b</think>c", "think_twice"),
        ("<think> \n</think>b", "think_empty"),
        ("<think>a</think>b</think>", "think_tag_in_answer"),
        ("<think>a</think>b <think>", "think_tag_in_answer"),
        ("<think>a</think> \n", "answer_empty"),
        ("", "think_unopened"),
    ],
)
def test_a_text_in_think_mode_is_judged_by_its_first_fault(text: str, reason: str) -> None:
    assert check_text(text, Mode.THINK, SETTINGS).reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("b", "think_ok"),
        ("<think>a</think>b", "think_in_direct_mode"),
        ("b</think>", "think_in_direct_mode"),
        (" ", "answer_empty"),
    ],
)
def test_a_text_in_direct_mode_has_no_think_tags(text: str, reason: str) -> None:
    assert check_text(text, Mode.DIRECT, SETTINGS).reason == reason


def sample(content: str, reasoning: str | None = None) -> Sample:
    return Sample("1", "test", [Message("user", "?"), Message("assistant", content, reasoning)])


def test_a_sample_is_judged_like_the_text_it_stands_for() -> None:
    assert check(sample("b", "a"), SETTINGS).outcome == Outcome.VERIFIED
    assert check(sample("b"), SETTINGS).outcome == Outcome.VERIFIED
    assert check(sample("b", ""), SETTINGS).reason == "think_empty"
    assert check(sample("", "a"), SETTINGS).reason == "answer_empty"
    assert check(sample("<think>a"), SETTINGS).reason == "think_unclosed"
    assert check(sample("b", "a <think> c"), SETTINGS).reason == "think_twice"


def test_a_tool_call_needs_no_answer_beside_it() -> None:
    calling = Sample("1", "test", [Message("assistant", "", "a", tool_calls=[{"function": {"name": "f"}}])])

    assert check(calling, SETTINGS).outcome == Outcome.VERIFIED


def test_a_short_thought_and_a_thought_in_circles_are_refused_where_the_settings_say_so() -> None:
    circles = "and so we go on and on and on " * 20

    assert check(sample("b", "hm"), ThinkSettings(min_characters=3)).reason == "think_empty"
    assert check(sample("b", circles), ThinkSettings(max_repeated_ngram_share=0.5)).reason == "think_repeats"
    assert check(sample("b", circles), SETTINGS).reason == "think_ok"


def test_the_repeated_share_of_distinct_words_is_nothing() -> None:
    assert repeated_share(" ".join(map(str, range(100)))) == 0
    assert repeated_share("few words") == 0
