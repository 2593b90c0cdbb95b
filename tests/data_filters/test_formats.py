"""Rows in each published form become the same samples."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.formats import intended_mode, parse_row, split_thought
from data_filters.row_fields import RowError
from data_filters.samples import InstructionsTask, MathTask, Mode, Sample
from data_filters.settings import Source


def read(row: object, **source: Any) -> Sample:
    return parse_row(row, Source(name="test", path="rows.jsonl", **source), 7)


def reason(row: object, **source: Any) -> str:
    with pytest.raises(RowError) as caught:
        read(row, **source)
    return caught.value.reason


ASK = {"role": "user", "content": "2+2?"}


def test_an_openai_row_keeps_its_turns_and_gets_a_numbered_id() -> None:
    sample = read(
        {"messages": [{"role": "system", "content": "Hi"}, ASK, {"role": "assistant", "content": "4"}]}
    )

    assert [message.role for message in sample.messages] == ["system", "user", "assistant"]
    assert sample.id == "test/7"
    assert sample.source == "test"
    assert sample.mode == Mode.DIRECT


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking"])
def test_each_name_for_the_thought_is_read(field: str) -> None:
    sample = read({"messages": [ASK, {"role": "assistant", "content": "4", field: "Two and two."}]})

    assert sample.answer.reasoning == "Two and two."
    assert sample.mode == Mode.THINK


def test_a_thought_at_the_start_of_the_content_is_split_off() -> None:
    sample = read({"messages": [ASK, {"role": "assistant", "content": "<think>\nTwo.\n</think>\n\n4"}]})

    assert (sample.answer.reasoning, sample.answer.content) == ("Two.", "4")


@pytest.mark.parametrize("text", ["<think>Two and two", "4</think>", "So <think>two</think> 4"])
def test_an_ill_formed_thought_stays_raw_for_the_verifier_to_see(text: str) -> None:
    sample = read({"messages": [ASK, {"role": "assistant", "content": text}]})

    assert (sample.answer.reasoning, sample.answer.content) == (None, text)
    assert intended_mode(sample) == Mode.THINK


def test_content_in_text_parts_is_put_together() -> None:
    parts = [{"type": "text", "text": "2"}, {"type": "text", "text": "+2?"}]

    assert (
        read({"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "4"}]})
        .messages[0]
        .content
        == "2+2?"
    )


def test_an_assistant_that_only_calls_a_tool_needs_no_content() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": "{}"}}

    sample = read({"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [call]}]})

    assert sample.answer.tool_calls == [call]


def test_a_sharegpt_row_is_read_with_its_function_calls() -> None:
    sample = read(
        {
            "conversations": [
                {"from": "human", "value": "2+2?"},
                {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'},
                {"from": "observation", "value": "4"},
                {"from": "gpt", "value": "It is 4."},
            ],
            "system": "Add.",
            "tools": '[{"name": "add"}]',
        }
    )

    assert [message.role for message in sample.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert sample.messages[2].tool_calls == [
        {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    ]
    assert sample.tools == [{"name": "add"}]


def test_an_alpaca_row_is_read_with_its_history() -> None:
    sample = read({"instruction": "Add.", "input": "2 and 2", "output": "4", "history": [["Hi", "Hello"]]})

    assert [message.content for message in sample.messages] == ["Hi", "Hello", "Add.\n2 and 2", "4"]


def test_an_r1_row_takes_the_first_generation_that_is_marked_correct() -> None:
    row = {
        "problem": "2+2?",
        "generations": ["<think>a</think>5", "<think>b</think>4"],
        "correctness_math_verify": [False, True],
        "answer": "4",
    }

    sample = read(row, task="math")

    assert (sample.answer.reasoning, sample.answer.content) == ("b", "4")
    assert sample.task == MathTask("4")


GSM8K = {
    "question": "Half of 48, and 48?",
    "answer": "48/2 = <<48/2=24>>24.\n48+24 = <<48+24=72>>72.\n#### 72",
}


def test_a_gsm8k_row_becomes_a_thought_without_calculator_marks_and_a_boxed_answer() -> None:
    sample = read(GSM8K)

    assert sample.answer.reasoning == "48/2 = 24.\n48+24 = 72."
    assert sample.answer.content == "The answer is $\\boxed{72}$."
    assert sample.task == MathTask("72", format="boxed")


def test_a_gsm8k_row_can_be_read_without_its_thought() -> None:
    sample = read(GSM8K, mode="direct", strip_reasoning=True)

    assert sample.answer.reasoning is None
    assert sample.mode == Mode.DIRECT


def test_gsm8k_rows_in_direct_mode_need_no_word_about_stripping() -> None:
    assert read(GSM8K, mode="direct", format="gsm8k").answer.reasoning is None


def test_a_sample_row_keeps_its_id_task_and_meta_but_takes_the_sources_name() -> None:
    row = {
        "id": "mine/3",
        "source": "elsewhere",
        "messages": [ASK, {"role": "assistant", "content": "4"}],
        "task": {"kind": "instructions", "constraints": [{"id": "punctuation:no_comma", "kwargs": {}}]},
        "meta": {"fault": "duplicate"},
    }

    sample = read(row)

    assert (sample.id, sample.source, sample.meta) == ("mine/3", "test", {"fault": "duplicate"})
    assert isinstance(sample.task, InstructionsTask)


def test_a_math_task_is_built_from_the_named_field_and_from_numbers() -> None:
    row = {"messages": [ASK, {"role": "assistant", "content": "4"}], "gold": 4}

    assert read(row, task="math", answer_field="gold").task == MathTask("4")
    assert read(row).task is None


FOUR = {"part": "content", "start": 0, "end": 1}


@pytest.mark.parametrize("train", ["all", "none", "close_think", [FOUR]])
def test_a_turn_says_what_of_it_is_trained(train: object) -> None:
    said = {"role": "assistant", "reasoning": "2 and 2", "content": "4, of course", "train": train}

    found = read({"messages": [ASK, said]}).answer

    assert msgspec.to_builtins(found.train) == train
    assert found.content == "4, of course"


@pytest.mark.parametrize(
    ("row", "slug"),
    [
        (["a list"], "row_not_object"),
        ({"text": "no form"}, "no_messages"),
        ({"messages": []}, "no_messages"),
        ({"messages": "none"}, "no_messages"),
        ({"messages": [ASK]}, "no_assistant_turn"),
        ({"messages": [{"role": "wizard", "content": "hm"}]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": 5}]}, "message_not_text"),
        ({"messages": ["text"]}, "message_not_text"),
        ({"messages": [ASK, {"role": "assistant", "content": "4", "tool_calls": "x"}]}, "tool_call_not_json"),
        ({"conversations": [{"from": "function_call", "value": "{"}]}, "tool_call_not_json"),
        ({"messages": [ASK, {"role": "assistant", "content": "4"}], "tools": "{"}, "tools_not_json"),
        (
            {"messages": [ASK, {"role": "assistant", "content": "4"}], "task": {"kind": "magic"}},
            "task_not_valid",
        ),
        ({"messages": [ASK, {"role": "assistant", "content": "4", "train": "half"}]}, "train_not_known"),
        (
            {"messages": [ASK, {"role": "assistant", "content": "4", "train": [{"part": "all"}]}]},
            "train_not_known",
        ),
        (
            {"messages": [ASK, {"role": "assistant", "content": "<think>2</think>4", "train": [FOUR]}]},
            "train_not_known",
        ),
        ({"instruction": "Add.", "output": None}, "message_not_text"),
        ({"problem": "2+2?", "generations": []}, "no_assistant_turn"),
    ],
)
def test_a_row_that_cannot_be_read_has_a_stable_reason(row: object, slug: str) -> None:
    assert reason(row) == slug


def test_a_row_of_the_other_mode_is_left_out_with_its_reason() -> None:
    direct = {"messages": [ASK, {"role": "assistant", "content": "4"}]}

    assert reason(direct, mode="think") == "mode_not_wanted"
    assert read(direct, mode="direct").mode == Mode.DIRECT


def test_an_unclosed_thought_reaches_the_verifier_of_a_source_of_thoughts() -> None:
    row = {"messages": [ASK, {"role": "assistant", "content": "<think>two"}]}

    assert read(row, mode="think").answer.content == "<think>two"


@given(st.text(), st.text())
def test_splitting_and_joining_a_thought_loses_nothing_but_outer_blanks(thought: str, answer: str) -> None:
    if "think>" in thought:
        return

    assert split_thought(f"<think>{thought}</think>{answer}") == (thought.strip(), answer.strip())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["messages", "role", "content", "from", "value", "conversations", "instruction"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_value_is_a_sample_or_a_row_error(value: object) -> None:
    try:
        assert read(value).answer.role == "assistant"
    except RowError as error:
        assert error.reason
