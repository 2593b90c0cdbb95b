"""JSON answers fit their schema, or it is said where they do not; no schema and no answer takes long."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Check, JsonSchemaTask, Outcome
from data_filters.verifiers import json_schema
from data_filters.verifiers.json_schema import JsonError, read_json

TASK = JsonSchemaTask(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
)
RIGHT = '{"name": "Mia", "age": 5}'


def check(task: JsonSchemaTask, text: str, seconds: float = 0.5) -> Check:
    return json_schema.check(task, text, seconds)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RIGHT, "json_valid"),
        (f"Here it is:\n```json\n{RIGHT}\n```\nDone.", "json_valid"),
        (f"```\n{RIGHT}\n```", "json_valid"),
        (f"```JSON\n{RIGHT}```", "json_valid"),
        (f"```python\nx = 1\n```\n```json\n{RIGHT}\n```", "json_valid"),
        ('{"name": "Mia", "age": 5', "json_not_parsed"),
        (f"Here it is: {RIGHT}", "json_not_parsed"),
        (f"```json\n{RIGHT}\n```\n```json\n{RIGHT}\n```", "json_not_parsed"),
        (f"```json\n{RIGHT}\n", "json_not_parsed"),
        ('{"name": "Mia", "age": NaN}', "json_not_parsed"),
        ('{"name": "Mia", "age": Infinity}', "json_not_parsed"),
        ("\x00", "json_not_parsed"),
        ('{"name": "\ud800", "age": 5}', "json_not_parsed"),
        ("", "json_not_parsed"),
        ('{"name": "Mia", "age": 4, "age": 5}', "json_duplicate_key"),
        ('{"name": "Mi\\u0022a", "age": 5}', "json_valid"),
        ('{"name": "Mia"}', "json_schema_broken"),
        ('{"name": "Mia", "age": "5"}', "json_schema_broken"),
        ('{"name": "Mia", "age": 5.0}', "json_valid"),
        ('{"name": "Mia", "age": 1e400}', "json_number_out_of_range"),
        ("1" * 6000, "json_number_out_of_range"),
        ("[" * 100_000, "json_too_deep"),
    ],
)
def test_an_answer_is_judged_with_a_stable_reason(text: str, reason: str) -> None:
    assert check(TASK, text).reason == reason


def test_what_is_beyond_the_readers_limits_failed_and_refutes_nothing() -> None:
    assert check(TASK, "[" * 100_000).outcome == Outcome.FAILED
    assert check(TASK, "[1e400]").outcome == Outcome.FAILED


def test_a_broken_schema_is_explained_with_its_place_and_rule() -> None:
    task = JsonSchemaTask({"properties": {"people": {"items": TASK.schema}}})

    found = check(task, '{"people": [{"name": "Mia", "age": 5}, {"name": "Tom"}]}')

    assert found.detail.startswith("at /people/1, keyword required:")
    assert '"age"' in found.detail


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://example.com/other.json"},
        {"$ref": "#/nowhere"},
        {"$schema": "http://example.com/draft-99/schema"},
        {"$schema": 7},
        {"pattern": "("},
    ],
)
def test_a_schema_that_is_none_failed_and_refutes_nothing(schema: dict[str, Any]) -> None:
    found = check(JsonSchemaTask(schema), "{}")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "json_schema_not_usable")


def test_a_remote_reference_is_named() -> None:
    found = check(JsonSchemaTask({"$ref": "http://example.com/other.json"}), "{}")

    assert "http://example.com/other.json" in found.detail


def test_the_draft_is_the_schemas_own_else_the_tasks_else_2020_12() -> None:
    # Only draft 4 takes exclusiveMaximum as a word about maximum.
    rule = {"maximum": 3, "exclusiveMaximum": True}
    own = rule | {"$schema": "http://json-schema.org/draft-04/schema#"}

    assert check(JsonSchemaTask(own), "3").reason == "json_schema_broken"
    assert check(JsonSchemaTask(rule, draft="4"), "3").reason == "json_schema_broken"
    assert check(JsonSchemaTask(rule), "3").reason == "json_schema_not_usable"


def test_a_format_is_a_rule_only_where_the_task_says_so() -> None:
    schema = {"type": "string", "format": "date"}

    assert check(JsonSchemaTask(schema), '"tomorrow"').reason == "json_valid"
    assert check(JsonSchemaTask(schema, assert_formats=True), '"tomorrow"').reason == "json_schema_broken"
    assert check(JsonSchemaTask(schema, assert_formats=True), '"2026-11-22"').reason == "json_valid"


def chained(depth: int) -> dict[str, Any]:
    """A schema of `depth` references, each of which is followed twice."""
    parts: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": parts | {f"a{depth}": {}}, "$ref": "#/$defs/a0"}


def branching() -> dict[str, Any]:
    """A schema that follows itself twice at each level and breaks at the last, with all errors copied."""
    self = {"a": {"$ref": "#"}}
    return {
        "anyOf": [{"properties": self, "required": ["a", "b"]}, {"properties": self, "required": ["a", "c"]}]
    }


def nested(depth: int) -> str:
    return '{"a":' * depth + "{}" + "}" * depth


@pytest.mark.parametrize(
    ("schema", "text", "outcome"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, f'"{"a" * 40}!"', "refuted"),
        ({"type": "string", "pattern": r"^(?:a|(?=a)a)+$"}, f'"{"a" * 40}!"', "failed"),
        ({"pattern": "(a{1000}){1000}"}, '"a"', "failed"),
        (chained(40), "1", "failed"),
        (branching(), nested(30), "failed"),
        ({"allOf": [{"$ref": "#"}]}, "1", "verified"),
        ({"items": {"$ref": "#"}}, "[" * 900 + "]" * 900, "verified"),
        ({"uniqueItems": True}, json.dumps(list(range(100_000))), "verified"),
        ({"items": {"enum": list(range(5000))}}, json.dumps([-1] * 5000), "refuted"),
        (
            {"patternProperties": {f"k{n}$": {"type": "string"} for n in range(20_000)}},
            json.dumps({f"k{n}": "x" for n in range(20_000)}),
            "failed",
        ),
        (
            {"properties": {f"k{n}": {"type": "string"} for n in range(20_000)}},
            json.dumps({f"k{n}": "x" for n in range(20_000)}),
            "verified",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_hostile_schema_is_answered_in_time_and_the_next_row_is_served(
    schema: dict[str, Any], text: str, outcome: str
) -> None:
    check(JsonSchemaTask(branching()), "{}")  # The guarded process has started.
    started = time.perf_counter()

    found = check(JsonSchemaTask(schema), text)

    assert time.perf_counter() - started < 3
    assert found.outcome == outcome
    assert check(TASK, RIGHT).reason == "json_valid"
    assert check(JsonSchemaTask(branching()), '{"a": {}, "b": 1}').outcome == Outcome.REFUTED


def test_a_recursive_schema_is_judged_beside_this_process_as_in_it() -> None:
    tree = JsonSchemaTask(
        {"properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}}, "required": ["value"]}
    )

    assert check(tree, '{"value": 1, "left": {"value": 2}}').reason == "json_valid"
    found = check(tree, '{"value": 1, "left": {"value": "2"}}')
    assert found.reason == "json_schema_broken"
    assert found.detail.startswith("at /left/value, keyword type:")


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(), lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
), max_leaves=20))  # fmt: skip
def test_what_was_written_as_json_is_read_as_it_was(value: Any) -> None:
    assert read_json(json.dumps(value)) == value


@given(st.text(alphabet='{}[]",:0123456789eE+-.\\u\n `truefalsn', max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert check(JsonSchemaTask(True), text).outcome in Outcome


@given(st.dictionaries(st.text(min_size=1), st.integers(-9, 9), min_size=1, max_size=5))
def test_a_key_that_is_given_twice_is_always_found(value: dict[str, int]) -> None:
    twice = json.dumps(value)[:-1] + ", " + json.dumps({next(iter(value)): 0})[1:]

    with pytest.raises(JsonError) as error:
        read_json(twice)

    assert error.value.reason == "json_duplicate_key"


def test_the_task_is_read_from_a_row_with_all_its_fields() -> None:
    row = b'{"schema": {"type": "string"}, "draft": "7", "assert_formats": true, "format": "json_block"}'

    task = msgspec.json.decode(row, type=JsonSchemaTask)

    assert (task.draft, task.assert_formats, task.format) == ("7", True, "json_block")
