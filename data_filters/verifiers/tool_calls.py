"""Whether an answer makes the tool calls that its task asks for, and no others.

Calls are read from the message's `tool_calls` (OpenAI's form, arguments as an object or as JSON text) and from its
text in Hermes form:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Rome"}}
    </tool_call>

Where the sample lists its tools, each call must name one of them and fit its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from data_filters.samples import TASK, Check, Message, Outcome, ToolCallsTask
from data_filters.verifiers.call_matching import Call, ExpectedCall, difference, unmatched
from data_filters.verifiers.json_schema import JsonError, read_json
from data_filters.verifiers.schema_validation import Fit, judge

OPENING_TAG = "<tool_call>"
CLOSING_TAG = "</tool_call>"
_MAX_CALLS = 128
_PARAMETER_FIELDS = ("parameters", "input_schema")
_JSON_TYPES = {
    "dict": "object", "float": "number", "double": "number", "int": "integer", "long": "integer",
    "str": "string", "bool": "boolean", "list": "array", "tuple": "array",
}  # fmt: skip
"""Python's and Java's names of types, which tool lists often use in place of JSON's."""
_ANY_TYPE = "any"
_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_PLAIN_VALUES = ("enum", "const", "default", "examples", "required")
_OPEN_KEYWORDS = {
    "additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf", "anyOf", "oneOf",
}  # fmt: skip
"""Where one of these stands beside `properties`, the schema says for itself what else may be given."""


class ToolCallError(Exception):
    """Calls that cannot be judged or are wrong already: a stable slug, and what is wrong."""

    def __init__(self, outcome: Outcome, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.reason = reason
        self.detail = detail


def check(task: ToolCallsTask, answer: Message, tools: list[dict[str, Any]] | None, seconds: float) -> Check:
    """Judge the calls of the last turn; `seconds` bounds a tool's schema that is costly to check.

    Verified with `tool_calls_correct`. Refuted with `tool_call_in_thought`, `tool_call_not_parsed`,
    `tool_call_unknown_tool`, `tool_call_invalid_arguments`, `tool_calls_missing`, `tool_calls_surplus`,
    `tool_call_wrong_name`, `tool_call_wrong_arguments` or `tool_calls_wrong_order`. Failed with
    `tool_calls_not_usable` (the task or the tool list is broken) or `tool_calls_too_large`.
    """
    try:
        expected = _expected_calls(task)
        given = read_calls(answer)
        _require_known(given, tools, seconds)
        _compare(task, expected, given)
    except ToolCallError as error:
        return Check(TASK, error.outcome, error.reason, error.detail[:300])
    except RecursionError:
        return Check(TASK, Outcome.FAILED, "tool_calls_too_large", "the arguments are nested too deeply")
    return Check(TASK, Outcome.VERIFIED, "tool_calls_correct")


def read_calls(answer: Message) -> list[Call]:
    """The calls of a message, those in its text first. Raises ToolCallError for one that is none."""
    if OPENING_TAG in (answer.reasoning or ""):
        raise _refuted("tool_call_in_thought", f"{OPENING_TAG} stands in the thought")
    calls = [_read_call(_parse(text)) for text in _tagged_texts(answer.content)]
    calls += [_read_call(call.get("function", call)) for call in answer.tool_calls or []]
    return calls


def _expected_calls(task: ToolCallsTask) -> list[ExpectedCall]:
    if len(task.calls) > _MAX_CALLS:
        found = len(task.calls)
        raise _failed(
            "tool_calls_too_large", f"the task has {found} calls; at most {_MAX_CALLS} are compared"
        )
    return [_expected_call(call) for call in task.calls]


def _expected_call(call: dict[str, Any]) -> ExpectedCall:
    name, arguments, accepted = call.get("name"), call.get("arguments"), call.get("accepted")
    lists = isinstance(accepted, dict) and all(isinstance(values, list) for values in accepted.values())
    if not isinstance(name, str) or not (lists if arguments is None else isinstance(arguments, dict)):
        raise _failed(
            "tool_calls_not_usable",
            f"an expected call needs name and either arguments or accepted; this one is {call!r}",
        )
    return ExpectedCall(name, arguments, accepted if arguments is None else None)


def _tagged_texts(content: str) -> list[str]:
    """What stands between the tags of each call in a text. Raises ToolCallError for a tag without its other."""
    texts: list[str] = []
    rest = content
    while True:
        before, opening, rest = rest.partition(OPENING_TAG)
        if CLOSING_TAG in before:
            raise _refuted("tool_call_not_parsed", f"{CLOSING_TAG} stands without {OPENING_TAG} before it")
        if not opening:
            return texts
        inside, closing, rest = rest.partition(CLOSING_TAG)
        if not closing or OPENING_TAG in inside:
            raise _refuted("tool_call_not_parsed", f"a call is not closed by {CLOSING_TAG}")
        texts.append(inside)
        if len(texts) > _MAX_CALLS:
            raise _failed("tool_calls_too_large", f"the text has more than {_MAX_CALLS} calls")


def _parse(text: str) -> Any:
    try:
        return read_json(text.strip())
    except JsonError as error:
        reason = "tool_call_not_parsed" if error.outcome == Outcome.REFUTED else "tool_calls_too_large"
        raise ToolCallError(error.outcome, reason, error.detail) from error


def _read_call(found: Any) -> Call:
    """Read an object with `name` and `arguments`; absent arguments are none."""
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str):
        raise _refuted(
            "tool_call_not_parsed", f"a call is an object with a name; this one is {found!r}"[:200]
        )
    arguments = found.get("arguments")
    if isinstance(arguments, str):
        arguments = _parse(arguments) if arguments.strip() else None
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _refuted("tool_call_not_parsed", f"the arguments of {name!r} are no object")
    return Call(name, arguments)


def _require_known(calls: Sequence[Call], tools: list[dict[str, Any]] | None, seconds: float) -> None:
    """Raise ToolCallError unless each call names a tool and fits its parameters; without tools all do."""
    if not tools:
        return
    schemas = {name: schema for tool in tools for name, schema in [_tool_parameters(tool)]}
    for call in calls:
        if call.name not in schemas:
            known = ", ".join(sorted(schemas))[:150]
            raise _refuted("tool_call_unknown_tool", f"{call.name!r} is none of the tools: {known}")
        size = len(msgspec.json.encode(call.arguments))
        found = judge(schemas[call.name], call.arguments, size, seconds)
        if found.fit == Fit.BROKEN:
            raise _refuted("tool_call_invalid_arguments", f"{call.name}: {found.detail}")
        if found.fit == Fit.SCHEMA_NOT_USABLE:
            raise _failed("tool_calls_not_usable", f"the parameters of {call.name!r}: {found.detail}")
        if found.fit != Fit.FITS:
            raise _failed("tool_calls_too_large", f"{call.name}: {found.detail}")


def _tool_parameters(tool: dict[str, Any]) -> tuple[str, Any]:
    """A tool's name and the schema of its arguments. No function takes arguments that it does not list."""
    declared = tool.get("function", tool)
    name = declared.get("name") if isinstance(declared, dict) else None
    if not isinstance(name, str):
        raise _failed("tool_calls_not_usable", f"a tool has a name; this one is {tool!r}"[:200])
    schema: Any = next(
        (declared[field] for field in _PARAMETER_FIELDS if declared.get(field) is not None), {}
    )
    if not isinstance(schema, dict):
        raise _failed("tool_calls_not_usable", f"the parameters of {name!r} are no schema")
    schema = _with_json_types(schema)
    if "properties" in schema and not _OPEN_KEYWORDS & schema.keys():
        schema["additionalProperties"] = False
    return name, schema


def _with_json_types(schema: Any) -> Any:
    """A copy of a schema in which types have their JSON names."""
    if isinstance(schema, list):
        return [_with_json_types(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _MAPS_OF_SCHEMAS and isinstance(value, dict):
            copy[key] = {name: _with_json_types(part) for name, part in value.items()}
        elif key == "type" and isinstance(value, str):
            if value != _ANY_TYPE:
                copy[key] = _JSON_TYPES.get(value.lower(), value)
        elif key in _PLAIN_VALUES:
            copy[key] = value
        else:
            copy[key] = _with_json_types(value)
    return copy


def _compare(task: ToolCallsTask, expected: Sequence[ExpectedCall], given: Sequence[Call]) -> None:
    """Raise ToolCallError unless the given calls are the expected ones."""
    if len(given) != len(expected):
        reason = "tool_calls_missing" if len(given) < len(expected) else "tool_calls_surplus"
        raise _refuted(reason, f"{len(given)} calls are made, {len(expected)} are expected")
    left = unmatched(expected, given, task.loose_text)
    if left:
        wanted = expected[left[0]]
        same_name = next((call for call in given if call.name == wanted.name), None)
        if same_name is None:
            raise _refuted("tool_call_wrong_name", f"no call of {wanted.name!r} is made")
        rivals = (call for call in given if call.name == wanted.name)
        details = (difference(wanted, call, task.loose_text) for call in rivals)
        detail = next(filter(None, details), "it is made fewer times than expected")
        raise _refuted("tool_call_wrong_arguments", f"{wanted.name}: {detail}")
    if task.ordered:
        for wanted, call in zip(expected, given, strict=True):
            if detail := difference(wanted, call, task.loose_text):
                raise _refuted("tool_calls_wrong_order", detail)


def _refuted(reason: str, detail: str) -> ToolCallError:
    return ToolCallError(Outcome.REFUTED, reason, detail)


def _failed(reason: str, detail: str) -> ToolCallError:
    return ToolCallError(Outcome.FAILED, reason, detail)
