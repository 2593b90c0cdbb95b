"""A thought opens first, closes once, is not empty, and leaves no tag in the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Message, Mode, Outcome, Sample
from data_filters.settings import ThinkSettings
from data_filters.verifiers.think_format import check, check_text

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


def test_a_short_thought_and_a_thought_with_many_repeats_are_refused_where_the_settings_say_so() -> None:
    repeats = "".join(f"And now we look at it in one more way, number {n}. " for n in range(20))

    assert check(sample("b", "hm"), ThinkSettings(min_characters=3)).reason == "think_empty"
    assert check(sample("b", repeats), ThinkSettings(max_repeated_ngram_share=0.1)).reason == "think_repeats"
    assert check(sample("b", repeats), SETTINGS).reason == "think_ok"


def test_a_thought_in_circles_is_refused_unless_the_settings_allow_it() -> None:
    circles = sample("b", "and so we go on and on and on " * 20)

    found = check(circles, SETTINGS)

    assert (found.outcome, found.reason) == (Outcome.REFUTED, "think_loops")
    assert "20 times" in found.detail
    assert check(circles, ThinkSettings(max_repeats_in_a_row=None)).reason == "think_ok"
    assert check(circles, ThinkSettings(max_repeats_in_a_row=20)).reason == "think_ok"


@pytest.mark.parametrize(
    "text",
    [
        "<think>a<|im_end|>b</think>c",
        "<think>a</think>b<|eot_id|>c",
        "<think>a</think>b<|im_end|>",
        "<think>a</think>b<end_of_turn>",
        "<think>a</think><|endoftext|>",
    ],
)
def test_a_token_that_ends_the_turn_stands_in_no_text(text: str) -> None:
    found = check_text(text, Mode.THINK, SETTINGS)

    assert (found.outcome, found.reason) == (Outcome.REFUTED, "think_end_token_in_text")


def test_what_follows_an_end_token_is_told() -> None:
    found = check_text("yes<|im_end|>\n<|im_start|>user", Mode.DIRECT, SETTINGS)

    assert (found.reason, "<|im_start|>user" in found.detail) == ("think_end_token_in_text", True)
    assert check_text("a <b> | c </s>", Mode.DIRECT, SETTINGS).reason == "think_ok"


def test_a_thought_over_its_budget_is_refused_with_the_count() -> None:
    thought = sample("b", "one two three")

    assert check(thought, ThinkSettings(max_words=2)).detail == "the thought has 3 words; at most 2"
    assert check(thought, ThinkSettings(max_characters=12)).reason == "think_over_budget"
    assert check(thought, ThinkSettings(max_words=3, max_characters=13)).reason == "think_ok"


def test_a_thought_in_another_language_than_its_prompt_is_refused_where_the_settings_say_so() -> None:
    prompt = (
        "What is the price of both tickets together if the first one costs seven and the other one is " * 3
    )
    thought = (
        "Zuerst addieren wir die Preise der beiden Karten und dann haben wir auch schon das Ergebnis. " * 3
    )
    foreign = Sample("1", "test", [Message("user", prompt), Message("assistant", "b", thought)])

    assert check(foreign, ThinkSettings(language="prompt")).reason == "think_other_language"
    assert check(foreign, ThinkSettings(language="en")).reason == "think_other_language"
    assert check(foreign, ThinkSettings(language="de")).reason == "think_ok"
    assert check(foreign, SETTINGS).reason == "think_ok"
    raw = check_text(f"<think>{thought}</think>b", Mode.THINK, ThinkSettings(language="prompt"), prompt)
    assert raw.reason == "think_other_language"


@given(st.text(alphabet="<think>/ a\n|im_end", max_size=80), st.sampled_from(Mode))
def test_any_text_is_judged_without_an_error(text: str, mode: Mode) -> None:
    assert check_text(text, mode, SETTINGS).outcome in (Outcome.VERIFIED, Outcome.REFUTED)
