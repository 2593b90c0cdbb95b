"""Whether an answer is JSON that fits a schema."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from data_filters.samples import Check, JsonSchemaTask, Outcome

CHECK_NAME = "task"
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)


def check(task: JsonSchemaTask, content: str) -> Check:
    """Judge the text after the thought: bare JSON, or JSON in the only fenced block.

    Verified with `json_valid`; refuted with `json_not_parsed` or `json_schema_broken`; failed with
    `json_schema_not_usable` when the schema itself is none.
    """
    try:
        value = msgspec.json.decode(json_text(content))
    except (msgspec.DecodeError, RecursionError) as error:
        return Check(CHECK_NAME, Outcome.REFUTED, "json_not_parsed", str(error))
    return check_value(task.schema, value)


def check_value(schema: dict[str, Any] | bool, value: Any) -> Check:
    """Judge a decoded value against a schema; outcomes as in `check`."""
    import jsonschema_rs

    try:
        fits = jsonschema_rs.validator_for(schema).is_valid(value)
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        return Check(CHECK_NAME, Outcome.FAILED, "json_schema_not_usable", first_line)
    if fits:
        return Check(CHECK_NAME, Outcome.VERIFIED, "json_valid")
    return Check(CHECK_NAME, Outcome.REFUTED, "json_schema_broken", _explain(schema, value))


def json_text(content: str) -> str:
    """The JSON part of an answer: the inside of its only fenced block, else the whole text."""
    blocks = _FENCED.findall(content)
    return (blocks[0] if len(blocks) == 1 else content).strip()


def _explain(schema: dict[str, Any] | bool, value: Any) -> str:
    """The message of the first error. jsonschema words it; jsonschema-rs has decided that there is one."""
    import jsonschema_rs

    error = next(iter(jsonschema_rs.validator_for(schema).iter_errors(value)))
    place = "/".join(str(step) for step in error.instance_path) or "the value"
    return f"at {place}: {error.message}"[:300]
