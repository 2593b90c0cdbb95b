"""Messages as templates read them: dictionaries in the form that OpenAI's interface made common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from data_filters.samples import Message
from hermes_train.chat.marks import PartKind
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN

THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message in which templates look for a thought."""

Say = Callable[[int, PartKind, str], str]
"""Called with the number of a message, the kind of a part and its text; returns the text to render."""


def template_messages(
    messages: Sequence[Message], thought_field: str | None, say: Say
) -> list[dict[str, Any]]:
    """Return the messages as a template reads them, each part as `say` returns it.

    `thought_field` names the field for thoughts; None puts them into the content, between think tags. Calls get ids
    of nine letters and digits (some templates ask for that), and results the ids of the calls before them.
    """
    rendered = []
    pending: list[str] = []
    calls_seen = 0
    for number, message in enumerate(messages):
        given: dict[str, Any] = {"role": message.role}
        thought = "" if message.reasoning is None else say(number, PartKind.REASONING, message.reasoning)
        content = say(number, PartKind.CONTENT, message.content)
        if message.reasoning is not None and thought_field is None:
            content = f"{THINK_OPEN}\n{thought}\n{THINK_CLOSE}\n{content}"
        elif message.reasoning is not None:
            assert thought_field is not None
            given[thought_field] = thought
        given["content"] = content
        if message.name is not None:
            given["name"] = message.name
        if message.tool_calls:
            calls = [function_of(call) for call in message.tool_calls]
            pending = [f"call{calls_seen + index:05d}" for index in range(len(calls))]
            calls_seen += len(calls)
            given["tool_calls"] = [
                {
                    "id": identity,
                    "type": "function",
                    "function": {**call, "name": say(number, PartKind.CALL, str(call.get("name", "")))},
                }
                for identity, call in zip(pending, calls, strict=True)
            ]
        if message.role == "tool" and pending:
            given["tool_call_id"] = pending.pop(0)
        rendered.append(given)
    return rendered


def function_of(call: dict[str, Any]) -> dict[str, Any]:
    """Return a call's `{"name", "arguments"}`, whether or not it stands inside `function`; arguments that are JSON text
    are read. Raises DocumentError for such text that does not parse."""
    inner = call.get("function", call)
    function = inner if isinstance(inner, dict) else call
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DocumentError(
                Problem.CALL_NOT_JSON,
                f"the arguments of a call of {function.get('name')} do not parse: {error}",
            ) from error
    return {"name": function.get("name"), "arguments": arguments}


def values_in(arguments: object) -> Iterator[tuple[str, ...]]:
    """Yield for each text and number inside a call's arguments the ways in which a template may write it."""
    if isinstance(arguments, dict):
        for value in arguments.values():
            yield from values_in(value)
    elif isinstance(arguments, list):
        for value in arguments:
            yield from values_in(value)
    elif isinstance(arguments, str):
        yield arguments, json.dumps(arguments, ensure_ascii=False)[1:-1], json.dumps(arguments)[1:-1]
    elif isinstance(arguments, int | float) and not isinstance(arguments, bool):
        yield json.dumps(arguments), str(arguments)
