"""A tree of messages becomes the one conversation that people liked best."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.formats import parse_row
from data_filters.oasst import read_tree
from data_filters.row_fields import RowError
from data_filters.settings import Source


def said(role: str, text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = {"role": role, "text": text, "lang": "en", "deleted": False, "review_result": True}
    return message | {"replies": list(replies)} | fields


def asked(text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return said("prompter", text, *replies, **fields)


def answered(text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return said("assistant", text, *replies, **fields)


def tree(prompt: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": prompt} | fields


def texts(row: dict[str, Any]) -> list[str]:
    return [message.content for message in read_tree(row)]


def reason(row: dict[str, Any]) -> str:
    with pytest.raises(RowError) as caught:
        parse_row(row, Source(name="trees", path="trees.jsonl"), 0)
    return caught.value.reason


def test_a_tree_is_found_by_its_keys_and_read_as_user_and_assistant() -> None:
    row = tree(asked("2+2?", answered("4", rank=0)))

    sample = parse_row(row, Source(name="trees", path="trees.jsonl"), 3)

    assert sample.id == "trees/3"
    assert [(message.role, message.content) for message in sample.messages] == [
        ("user", "2+2?"),
        ("assistant", "4"),
    ]


def test_the_reply_of_the_lowest_rank_is_taken_wherever_it_stands() -> None:
    row = tree(asked("2+2?", answered("5", rank=1), answered("4", rank=0), answered("22", rank=2)))

    assert texts(row) == ["2+2?", "4"]


def test_replies_without_a_rank_come_after_ranked_ones_and_in_the_order_of_the_file() -> None:
    ranked = tree(asked("2+2?", answered("?"), answered("null", rank=None), answered("4", rank=3)))
    unranked = tree(asked("2+2?", answered("4"), answered("5")))

    assert texts(ranked) == ["2+2?", "4"]
    assert texts(unranked) == ["2+2?", "4"]


@pytest.mark.parametrize("fault", [{"deleted": True}, {"review_result": False}, {"lang": "de"}])
def test_a_reply_that_is_deleted_refused_or_in_another_language_is_passed_over(fault: dict[str, Any]) -> None:
    spoiled = answered("4!", asked("Sure?", answered("Yes.")), rank=0, **fault)

    assert texts(tree(asked("2+2?", spoiled, answered("4", rank=1)))) == ["2+2?", "4"]


def test_a_reply_that_nobody_reviewed_is_not_refused() -> None:
    assert texts(tree(asked("2+2?", answered("4", review_result=None)))) == ["2+2?", "4"]


def test_a_last_question_that_nobody_answers_is_dropped() -> None:
    assert texts(tree(asked("2+2?", answered("4", asked("Sure?"))))) == ["2+2?", "4"]


def test_of_unranked_questions_one_that_is_answered_is_followed() -> None:
    row = tree(asked("2+2?", answered("4", asked("Hm."), asked("Sure?", answered("Yes.")))))

    assert texts(row) == ["2+2?", "4", "Sure?", "Yes."]


def test_a_question_whose_only_answer_was_deleted_counts_as_unanswered() -> None:
    dead_end = asked("Hm.", answered("Spam", deleted=True))
    row = tree(asked("2+2?", answered("4", dead_end, asked("Sure?", answered("Yes.")))))

    assert texts(row) == ["2+2?", "4", "Sure?", "Yes."]


@pytest.mark.parametrize(
    ("row", "slug"),
    [
        (tree(asked("2+2?", answered("4")), tree_state="aborted_low_grade"), "tree_not_ready"),
        (tree(asked("2+2?", answered("4"), deleted=True)), "tree_prompt_refused"),
        (tree(asked("2+2?", answered("4"), review_result=False)), "tree_prompt_refused"),
        (tree(asked("2+2?")), "no_assistant_turn"),
        (tree(asked("2+2?", answered("4", deleted=True))), "no_assistant_turn"),
        (tree(answered("4", asked("2+2?"))), "unknown_role"),
        (tree(said("wizard", "hm")), "unknown_role"),
        (tree(asked("2+2?", said("wizard", "hm"))), "unknown_role"),
        (tree(asked("2+2?", replies="none")), "row_not_valid"),
        (tree(asked("2+2?", replies=["4"])), "row_not_valid"),
        (tree(asked("2+2?", answered("4", rank="best"))), "row_not_valid"),
        (tree(asked("2+2?", answered("") | {"text": None})), "message_not_text"),
    ],
)
def test_a_tree_without_a_conversation_has_a_stable_reason(row: dict[str, Any], slug: str) -> None:
    assert reason(row) == slug


def test_a_row_asked_to_be_a_tree_that_has_no_tree_says_so() -> None:
    with pytest.raises(RowError, match="no_messages: prompt is the first message; here it is a text"):
        parse_row({"prompt": "2+2?"}, Source(name="trees", path="t.jsonl", format="oasst"), 0)


@st.composite
def trees(draw: st.DrawFn, role: str = "prompter", depth: int = 0) -> dict[str, Any]:
    other = "assistant" if role == "prompter" else "prompter"
    replies = draw(st.lists(trees(other, depth + 1), max_size=3)) if depth < 4 else []
    return said(
        role,
        draw(st.text(max_size=5)),
        *replies,
        rank=draw(st.none() | st.integers(0, 3)),
        deleted=draw(st.booleans()) if depth else False,
        lang=draw(st.sampled_from(["en", "de"])) if depth else "en",
    )


@given(trees())
def test_every_conversation_is_a_path_of_the_tree_that_ends_with_an_answer(prompt: dict[str, Any]) -> None:
    before = copy.deepcopy(prompt)
    messages = read_tree(tree(prompt))

    assert prompt == before
    assert len(messages) % 2 == 0 or len(messages) == 1
    level = [prompt]
    for message in messages:
        role = "prompter" if message.role == "user" else "assistant"
        found = [
            node
            for node in level
            if (node["role"], node["text"], node["deleted"], node["lang"])
            == (role, message.content, False, "en")
        ]
        assert found
        level = [reply for node in found for reply in node["replies"]]
