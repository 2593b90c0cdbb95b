"""JSON answers fit their schema, or it is said where they do not."""

import pytest

from data_filters.samples import JsonSchemaTask, Outcome
from data_filters.verifiers.json_schema import check

TASK = JsonSchemaTask(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"name": "Mia", "age": 5}', "json_valid"),
        ('Here it is:\n```json\n{"name": "Mia", "age": 5}\n```\nDone.', "json_valid"),
        ('```\n{"name": "Mia", "age": 5}\n```', "json_valid"),
        ('{"name": "Mia", "age": 5', "json_not_parsed"),
        ('Here it is: {"name": "Mia", "age": 5}', "json_not_parsed"),
        ('```json\n{"name": "A", "age": 1}\n```\n```json\n{"name": "B", "age": 2}\n```', "json_not_parsed"),
        ('{"name": "Mia", "age": NaN}', "json_not_parsed"),
        ("[" * 100_000, "json_not_parsed"),
        ("", "json_not_parsed"),
        ('{"name": "Mia"}', "json_schema_broken"),
        ('{"name": "Mia", "age": "5"}', "json_schema_broken"),
    ],
)
def test_an_answer_is_judged_with_a_stable_reason(text: str, reason: str) -> None:
    assert check(TASK, text).reason == reason


def test_a_broken_schema_is_explained_with_its_place() -> None:
    assert check(TASK, '{"name": "Mia", "age": "5"}').detail.startswith("at age:")


def test_a_schema_that_is_none_failed_and_refutes_nothing() -> None:
    found = check(JsonSchemaTask({"type": "no such type"}), "{}")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "json_schema_not_usable")


def test_a_pattern_that_backtracks_costs_no_time() -> None:
    schema = JsonSchemaTask({"type": "string", "pattern": "^(a+)+$"})

    assert check(schema, f'"{"a" * 40}!"').reason == "json_schema_broken"
