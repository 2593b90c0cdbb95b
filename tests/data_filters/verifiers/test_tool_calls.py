"""The asked tool calls are made, and no others, in either form; every way to miss them has its name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Check, Message, Mode, Outcome, Sample, ToolCallsTask
from data_filters.settings import VerifySettings
from data_filters.verifiers import tool_calls
from data_filters.verifiers.tool_calls import read_calls
from data_filters.verify import verify, verify_text

ROME = {"name": "weather", "arguments": {"city": "Rome", "days": 2}}
OSLO = {"name": "weather", "arguments": {"city": "Oslo", "days": 1}}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "dict",
                "properties": {"city": {"type": "string"}, "days": {"type": "int"}, "unit": {"type": "any"}},
                "required": ["city"],
            },
        },
    }
]


def tagged(*calls: object) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


def answer(
    content: str = "", reasoning: str | None = None, calls: list[dict[str, Any]] | None = None
) -> Message:
    return Message("assistant", content, reasoning, calls)


def check(task: ToolCallsTask, message: Message, tools: list[dict[str, Any]] | None = None) -> Check:
    return tool_calls.check(task, message, tools, 1.0)


def in_openais_form(call: dict[str, Any], as_text: bool) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"]) if as_text else call["arguments"]
    return {"id": "1", "type": "function", "function": {"name": call["name"], "arguments": arguments}}


@pytest.mark.parametrize(
    "message",
    [
        answer(tagged(ROME)),
        answer("I will look.\n" + tagged(ROME)),
        answer(calls=[ROME]),
        answer(calls=[in_openais_form(ROME, as_text=True)]),
        answer(calls=[in_openais_form(ROME, as_text=False)]),
        answer(tagged(ROME | {"arguments": json.dumps(ROME["arguments"])})),
    ],
)
def test_a_call_counts_in_each_form(message: Message) -> None:
    assert check(ToolCallsTask([ROME]), message, TOOLS).reason == "tool_calls_correct"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (answer(""), "tool_calls_missing"),
        (answer("It is sunny."), "tool_calls_missing"),
        (answer(tagged(ROME, ROME)), "tool_calls_surplus"),
        (answer(tagged(ROME), calls=[ROME]), "tool_calls_surplus"),
        (answer(tagged(ROME), reasoning="<tool_call>{}</tool_call>"), "tool_call_in_thought"),
        (answer("<tool_call>{"), "tool_call_not_parsed"),
        (answer("<tool_call>{</tool_call>"), "tool_call_not_parsed"),
        (answer("<tool_call><tool_call>{}</tool_call>"), "tool_call_not_parsed"),
        (answer(tagged(ROME) + "</tool_call>"), "tool_call_not_parsed"),
        (answer(tagged([ROME])), "tool_call_not_parsed"),
        (answer(tagged({"arguments": {}})), "tool_call_not_parsed"),
        (answer(tagged({"name": "weather", "arguments": [1]})), "tool_call_not_parsed"),
        (answer('<tool_call>{"name": "weather", "name": "x"}</tool_call>'), "tool_call_not_parsed"),
        (answer(calls=[{"function": {"name": "weather", "arguments": "{"}}]), "tool_call_not_parsed"),
        (answer(calls=[{"function": 3}]), "tool_call_not_parsed"),
        (answer(tagged(ROME | {"name": "climate"})), "tool_call_unknown_tool"),
        (answer(tagged({"name": "weather", "arguments": {"days": 2}})), "tool_call_invalid_arguments"),
        (
            answer(tagged({"name": "weather", "arguments": {"city": "Rome", "days": "2"}})),
            "tool_call_invalid_arguments",
        ),
        (
            answer(tagged({"name": "weather", "arguments": {"city": "Rome", "when": 2}})),
            "tool_call_invalid_arguments",
        ),
        (answer(tagged(OSLO)), "tool_call_wrong_arguments"),
    ],
)
def test_each_miss_is_refuted_with_its_reason(message: Message, reason: str) -> None:
    found = check(ToolCallsTask([ROME]), message, TOOLS)

    assert (found.outcome, found.reason) == (Outcome.REFUTED, reason)


def test_another_tool_of_the_list_is_a_wrong_name() -> None:
    both = [*TOOLS, {"name": "news", "parameters": {}}]

    assert (
        check(ToolCallsTask([ROME]), answer(tagged({"name": "news"})), both).reason == "tool_call_wrong_name"
    )


def test_where_no_call_is_expected_none_may_be_made() -> None:
    assert check(ToolCallsTask([]), answer("No tool helps here.")).reason == "tool_calls_correct"
    assert check(ToolCallsTask([]), answer(tagged(ROME))).reason == "tool_calls_surplus"


def test_parallel_calls_come_in_any_order_unless_the_task_asks_for_one() -> None:
    turned = answer(tagged(OSLO, ROME))

    assert check(ToolCallsTask([ROME, OSLO]), turned).reason == "tool_calls_correct"
    assert check(ToolCallsTask([ROME, OSLO], ordered=True), turned).reason == "tool_calls_wrong_order"
    assert check(ToolCallsTask([OSLO, ROME], ordered=True), turned).reason == "tool_calls_correct"


def test_the_message_says_which_argument_differs() -> None:
    found = check(ToolCallsTask([ROME]), answer(tagged(OSLO)))

    assert found.detail == "weather: argument 'city' is 'Oslo', expected 'Rome'"


@pytest.mark.parametrize(
    "task", [ToolCallsTask([{"name": "f"}]), ToolCallsTask([{"name": "f", "accepted": {"a": 1}}])]
)
def test_a_task_that_expects_nothing_sensible_failed(task: ToolCallsTask) -> None:
    found = check(task, answer(tagged(ROME)))

    assert (found.outcome, found.reason) == (Outcome.FAILED, "tool_calls_not_usable")


@pytest.mark.parametrize("tool", [{}, {"function": None}, {"name": "weather", "parameters": 3}])
def test_a_tool_list_that_cannot_be_read_failed(tool: dict[str, Any]) -> None:
    assert check(ToolCallsTask([ROME]), answer(tagged(ROME)), [tool]).reason == "tool_calls_not_usable"


def test_a_tool_whose_schema_is_none_failed() -> None:
    broken = [{"name": "weather", "parameters": {"type": "nonsense"}}]

    found = check(ToolCallsTask([ROME]), answer(tagged(ROME)), broken)

    assert (found.outcome, found.reason) == (Outcome.FAILED, "tool_calls_not_usable")


@pytest.mark.parametrize(
    "content",
    [
        tagged(*[ROME] * 1000),
        '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 5000 + "1" + "}" * 5001 + "</tool_call>",
    ],
)
def test_a_flood_of_calls_failed(content: str) -> None:
    assert check(ToolCallsTask([ROME]), answer(content)).outcome == Outcome.FAILED


@given(st.text(alphabet='<>/tool_cal{}":,name argumts', max_size=120))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert check(ToolCallsTask([ROME]), answer(text), TOOLS).outcome in Outcome


@given(st.lists(st.tuples(st.text(), st.dictionaries(st.text(), st.integers(-9, 9) | st.text())), max_size=4))
def test_what_was_written_in_hermes_form_is_read_as_it_was(calls: list[tuple[str, dict[str, Any]]]) -> None:
    written = answer(tagged(*({"name": name, "arguments": arguments} for name, arguments in calls)))
    if any("tool_call>" in json.dumps(call) for call in calls):
        return

    assert [(call.name, call.arguments) for call in read_calls(written)] == calls


def test_a_samples_calls_and_tools_reach_the_check() -> None:
    asked = Message("user", "How is the weather in Rome?")
    right = Sample("1", "test", [asked, answer("", "Look it up.", [ROME])], TOOLS, ToolCallsTask([ROME]))
    unknown = Sample("2", "test", right.messages, [{"name": "news"}], ToolCallsTask([ROME]))

    assert verify(right, VerifySettings()).reason == "tool_calls_correct"
    assert verify(unknown, VerifySettings()).reason == "tool_call_unknown_tool"
    written = f"<think>Look it up.</think>{tagged(ROME)}"
    assert verify_text(right, written, Mode.THINK, VerifySettings()).reason == "tool_calls_correct"
