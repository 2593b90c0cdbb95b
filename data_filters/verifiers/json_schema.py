"""Whether an answer is JSON that fits a schema.

The answer is bare JSON, or its only fenced block of JSON with any text around it. A key that is given twice in
one object is refused: readers do not agree on which value counts. Numbers beyond a double's range and nesting
beyond some hundred levels are legal JSON that is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from data_filters.samples import TASK, Check, JsonSchemaTask, Outcome
from data_filters.verifiers.schema_validation import Fit, judge

_FENCE = "```"
_FENCE_NAMES = ("", "json")
_OUTCOMES = {
    Fit.FITS: (Outcome.VERIFIED, "json_valid"),
    Fit.BROKEN: (Outcome.REFUTED, "json_schema_broken"),
    Fit.SCHEMA_NOT_USABLE: (Outcome.FAILED, "json_schema_not_usable"),
    Fit.TOO_DEEP: (Outcome.FAILED, "json_too_deep"),
    Fit.TOO_COSTLY: (Outcome.FAILED, "json_schema_too_costly"),
}


class JsonError(Exception):
    """A text that is not read as JSON: `reason` is a stable slug, `outcome` tells a fault from a limit."""

    def __init__(self, outcome: Outcome, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.reason = reason
        self.detail = detail


def check(task: JsonSchemaTask, content: str, seconds: float) -> Check:
    """Judge the text after the thought; `seconds` bounds a schema that is costly to check.

    Verified with `json_valid`; refuted with `json_not_parsed`, `json_duplicate_key` or `json_schema_broken`;
    failed with `json_number_out_of_range`, `json_too_deep`, `json_schema_not_usable` (no schema, or one that
    refers to another document) or `json_schema_too_costly`.
    """
    try:
        text = json_text(content)
        value = read_json(text)
    except JsonError as error:
        return Check(TASK, error.outcome, error.reason, error.detail)
    found = judge(task.schema, value, len(text), seconds, task.draft, task.assert_formats)
    outcome, reason = _OUTCOMES[found.fit]
    return Check(TASK, outcome, reason, found.detail)


def read_json(text: str) -> Any:
    """The value of a JSON text. Raises JsonError where it is none, or more than is judged."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.ValidationError as error:
        raise JsonError(Outcome.FAILED, "json_number_out_of_range", str(error)) from error
    # A lone surrogate is no text that could be sent.
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise JsonError(Outcome.REFUTED, "json_not_parsed", str(error)) from error
    except RecursionError as error:
        raise JsonError(Outcome.FAILED, "json_too_deep", "it is nested too deeply to be read") from error
    try:
        key = _key_given_twice(text, value)
    except RecursionError as error:
        raise JsonError(Outcome.FAILED, "json_too_deep", "it is nested too deeply to be read") from error
    if key is not None:
        raise JsonError(Outcome.REFUTED, "json_duplicate_key", f"the key {key[:80]!r} is given twice")
    return value


def json_text(content: str) -> str:
    """The JSON part of an answer: the inside of its only fenced block of JSON, else the whole text."""
    if _FENCE not in content:
        return content.strip()
    blocks = json_blocks(content)
    return blocks[0] if len(blocks) == 1 else content.strip()


def json_blocks(content: str) -> list[str]:
    """The insides of the fenced blocks that are marked as JSON or as nothing, in order."""
    return [inside for name, inside in _fenced_blocks(content) if name.lower() in _FENCE_NAMES]


def _fenced_blocks(content: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the inside of each fenced block, read line by line."""
    name: str | None = None
    lines: list[str] = []
    for line in content.split("\n"):
        if name is None:
            opening = line.strip()
            if opening.startswith(_FENCE) and _FENCE not in opening[len(_FENCE) :]:
                name, lines = opening[len(_FENCE) :].strip(), []
            continue
        closing = line.rstrip()
        if not closing.endswith(_FENCE):
            lines.append(line)
            continue
        yield name, "\n".join([*lines, closing[: -len(_FENCE)]]).strip()
        name = None


def _key_given_twice(text: str, value: Any) -> str | None:
    """A key that one object of `text` gives twice; None when all are given once."""
    # A key that was dropped took its quotes along. Escapes such as \\u0022 differ in quotes too.
    if text.count('"') == msgspec.json.encode(value).count(b'"'):
        return None
    twice: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                twice.append(key)
            seen.add(key)

    json.loads(text, object_pairs_hook=collect)
    return twice[0] if twice else None
