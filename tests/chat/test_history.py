"""What a conversation is trained as."""

import pytest

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.history import cut_thought, history_views, mode_of, without_thought

CONVERSATION = Sample(
    "a",
    "s",
    [
        Message("user", "one"),
        Message("assistant", "1", reasoning="first"),
        Message("user", "two"),
        Message("assistant", "2", reasoning="second"),
        Message("user", "thanks"),
    ],
)


def trained(sample):
    return [
        message.content
        for message in sample.messages
        if message.train != "none" and message.role == "assistant"
    ]


def test_each_answer_is_trained_once_and_nothing_comes_after_it():
    views = history_views(CONVERSATION, "expand")

    assert [trained(view) for view, _ in views] == [["1"], ["2"]]
    assert [view.id for view, _ in views] == ["a#1", "a#3"]
    assert [view.messages[-1].content for view, _ in views] == ["1", "2"]


@pytest.mark.parametrize("twin", [without_thought(CONVERSATION), cut_thought(CONVERSATION, "sec")])
def test_a_twin_trains_its_last_answer_and_leaves_the_others_to_the_conversation_itself(twin):
    assert [trained(view) for view, _ in history_views(twin, "expand")] == [["2"]]
    assert trained(CONVERSATION) == ["1", "2"], "the conversation itself is as it was"


def test_answers_in_another_mode_than_the_last_are_shown_but_not_trained():
    mixed = Sample(
        "a", "s", [*CONVERSATION.messages[:2], Message("user", "three"), Message("assistant", "3")]
    )

    ((kept, _),), ((stripped, _),) = history_views(mixed, "keep"), history_views(mixed, "strip")

    assert trained(kept) == trained(stripped) == ["3"]
    assert [trained(view) for view, _ in history_views(mixed, "expand")] == [["1"], ["3"]]


def test_an_answer_after_the_thought_of_its_call_is_in_think_mode():
    loop = [
        Message("user", "q"),
        Message("assistant", "", reasoning="look", tool_calls=[{"name": "get", "arguments": {}}]),
        Message("tool", "42"),
        Message("assistant", "It is 42."),
    ]

    assert mode_of(loop) is Mode.THINK
    assert mode_of([*loop, Message("user", "and?"), Message("assistant", "no")]) is Mode.DIRECT
    assert trained(history_views(Sample("a", "s", loop), "keep")[0][0]) == ["", "It is 42."]


def test_what_a_user_says_after_the_last_answer_is_left_out():
    for history in ("keep", "strip", "expand"):
        assert history_views(CONVERSATION, history)[-1][0].messages[-1].content == "2"


def test_a_conversation_that_trains_nothing_stays_to_be_counted():
    silent = Sample("a", "s", [Message("user", "q"), Message("assistant", "a", train="none")] * 2)

    assert history_views(silent, "expand") == [(silent, False)]
