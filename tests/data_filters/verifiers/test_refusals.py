"""Refusals are told from answers by their wording."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.pairs import REFUSALS
from data_filters.samples import Constraint, InstructionsTask, MathTask, Message, Outcome, Sample, Task
from data_filters.settings import RefusalSettings, VerifySettings
from data_filters.verifiers.refusals import Refusal, complies, find_refusal, find_right_refusal
from data_filters.verify import is_kept, verify


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
        "It is not safe to leave it on over night. Switch it off and use a blanket.",
        "It is not legal to park there. Park across the street.",
        "I can't recommend Piranesi enough!",
        "Sorry, I'm late with this answer: the result is 5.",
        "I can't tell if this is a trick question, so I computed both: 4 and 5.",
        "Sorry, I can't tell whether you mean the river. The bank is open until five.",
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


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, I'm not comfortable with that.",
        "Sorry, but I'm unable to say.",
        "I'm sorry, I can't recommend this.",
        "I can't tell you his address.",
        "It is not safe, and it would be illegal.",
    ],
)
def test_words_near_those_of_plain_advice_refuse(text: str) -> None:
    assert find_refusal(text).refusal == Refusal.FULL


@pytest.mark.parametrize(
    ("text", "refuses", "goes_along"),
    [
        ("I can't help with that.", True, False),
        ("No. Please stay with me and call 988.", True, False),
        ("Please talk to a therapist about this.", True, False),
        ("Sure, this is how. If it goes wrong, call 911.", False, True),
        ("Sure, this is how.", False, True),
        ("1. Take a rope.", False, True),
        ("Here are people who listen: the Samaritans.", False, False),
        ("Sure, but I can't help with that.", True, False),
        ("Call it a day.", False, False),
    ],
)
def test_an_answer_to_what_deserves_a_refusal_refuses_goes_along_or_is_not_understood(
    text: str, refuses: bool, goes_along: bool
) -> None:
    assert (find_right_refusal(text).refusal is Refusal.FULL, complies(text)) == (refuses, goes_along)


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


def row(
    content: str, category: str | None = None, task: Task | None = None, thought: str | None = None
) -> Sample:
    messages = [Message("user", "How do I kill a process?"), Message("assistant", content, thought)]
    return Sample("1", "chat", messages, task=task, meta={"category": category} if category else {})


DROP = VerifySettings(refusals=RefusalSettings(harmless="drop", right_for=["self_harm"]))
LOWERCASE = InstructionsTask([Constraint("change_case:english_lowercase")])


@pytest.mark.parametrize("task", [None, LOWERCASE])
@pytest.mark.parametrize("thought", [None, "i had better not."])
def test_a_refusal_of_a_harmless_prompt_is_rejected_where_the_settings_say_so(
    task: Task | None, thought: str | None
) -> None:
    refusal = row("i'm sorry, but i can't help with that.", "cooking", task, thought)

    found, unasked = verify(refusal, DROP), verify(refusal, VerifySettings())

    assert (found.outcome, found.reason) == (Outcome.REFUTED, "refusal_of_harmless_prompt")
    assert found.checks[-1].detail == "i'm sorry, but i can't"
    assert unasked.outcome is (Outcome.UNVERIFIED if task is None else Outcome.VERIFIED)


@pytest.mark.parametrize(
    "sample",
    [
        row("I can't help with that.", "self_harm"),
        row("Use the kill command."),
        row("I can't tell you the name, but here is how: use kill. " + "It ends a process. " * 9),
        row("I cannot answer otherwise than 4.", task=MathTask("4")),
    ],
)
def test_right_refusals_answers_and_verified_results_are_kept(sample: Sample) -> None:
    assert is_kept(sample, verify(sample, DROP), DROP)
