"""Hold JSON values against JSON schemas, with a bound on what a hostile schema can cost.

jsonschema-rs decides. Its regular expressions are linear or stop at a limit, and it fetches nothing here. What is
left to run away are references that branch (each level doubles the work), errors that are copied at each level of
such a recursion, and sheer size: those schemas are judged in a guarded process.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

import msgspec

from data_filters.verifiers import guarded

Schema = dict[str, Any] | bool
Draft = Literal["4", "6", "7", "2019-09", "2020-12"]

DEFAULT_DRAFT: Draft = "2020-12"
_DRAFT_URIS: dict[str, Draft] = {
    "http://json-schema.org/draft-04/schema": "4",
    "http://json-schema.org/draft-06/schema": "6",
    "http://json-schema.org/draft-07/schema": "7",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
}
_VALIDATORS: dict[Draft, str] = {
    "4": "Draft4Validator",
    "6": "Draft6Validator",
    "7": "Draft7Validator",
    "2019-09": "Draft201909Validator",
    "2020-12": "Draft202012Validator",
}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_CACHED_SCHEMAS = 256
_MAX_PATHS = 2_000
"""Ways through the references of a schema that is judged in this process."""
_MAX_SCHEMA_BYTES = 50_000
_MAX_PATTERNS = 20
_MAX_BYTES_SQUARED = 100_000_000
"""Largest product of a schema's bytes and a value's characters that is judged in this process."""
_DETAIL_CHARACTERS = 300


class Fit(StrEnum):
    """How a value and a schema go together."""

    FITS = "fits"
    BROKEN = "broken"
    SCHEMA_NOT_USABLE = "schema_not_usable"
    TOO_DEEP = "too_deep"
    TOO_COSTLY = "too_costly"


@dataclass(frozen=True)
class Judgement:
    """Whether a value fits a schema; `detail` says where it does not, or what is wrong with the schema."""

    fit: Fit
    detail: str = ""


@dataclass(frozen=True)
class _Compiled:
    """A validator ready for values, or why there is none."""

    validator: Any | None
    problem: str = ""


def judge(
    schema: Schema,
    value: Any,
    size: int,
    seconds: float,
    draft: Draft | None = None,
    assert_formats: bool = False,
) -> Judgement:
    """Hold a decoded JSON value, whose text has `size` characters, against a schema.

    `draft` is used where the schema names none by `$schema`. `assert_formats` makes `format` a rule, where the
    newer drafts only take it as a note. `seconds` bounds a costly schema.
    """
    try:
        encoded = msgspec.json.encode(schema)
    except (RecursionError, TypeError, ValueError) as error:
        return Judgement(Fit.SCHEMA_NOT_USABLE, f"the schema is no JSON: {error}")
    if size * len(encoded) > _MAX_BYTES_SQUARED or _is_costly(encoded):
        return _judge_guarded(schema, value, seconds, draft, assert_formats)
    return _judge_compiled(_compiled(encoded, draft, assert_formats), value)


def prepare() -> None:
    """Import what `answer` needs, in a guarded process."""
    import jsonschema_rs  # noqa: F401  (imported for the guarded process's children)


def answer(question: dict[str, Any]) -> dict[str, str]:
    """Judge without bounds, in a guarded process."""
    encoded = msgspec.json.encode(question["schema"])
    found = _judge_compiled(_compiled(encoded, question["draft"], question["formats"]), question["value"])
    return {"fit": found.fit.value, "detail": found.detail}


def _judge_guarded(
    schema: Schema, value: Any, seconds: float, draft: Draft | None, assert_formats: bool
) -> Judgement:
    question = {"schema": schema, "value": value, "draft": draft, "formats": assert_formats}
    try:
        reply = guarded.shared(__name__).ask(question, seconds)
    except RecursionError:
        return Judgement(Fit.TOO_DEEP, "the schema or the value is nested too deeply")
    if reply.ending != guarded.Ending.ANSWERED:
        return Judgement(Fit.TOO_COSTLY, f"{reply.ending.value}: {reply.detail}")
    return Judgement(Fit(reply.value["fit"]), reply.value["detail"])


def _judge_compiled(compiled: _Compiled, value: Any) -> Judgement:
    if compiled.validator is None:
        return Judgement(Fit.SCHEMA_NOT_USABLE, compiled.problem)
    try:
        if compiled.validator.is_valid(value):
            return Judgement(Fit.FITS)
    # All that jsonschema-rs raises on a value is a ValueError: deeper than it follows.
    except ValueError as error:
        return Judgement(Fit.TOO_DEEP, str(error))
    return _explain(compiled.validator, value)


def _explain(validator: Any, value: Any) -> Judgement:
    """Say where a value breaks the schema first, in the validator's words."""
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{step}" for step in error.instance_path) or "the whole value"
        keyword = next((step for step in reversed(error.schema_path) if isinstance(step, str)), "false")
        detail = f"at {place}, keyword {keyword}: {error.message}"[:_DETAIL_CHARACTERS]
        costly = isinstance(error.kind, jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded)
        return Judgement(Fit.TOO_COSTLY if costly else Fit.BROKEN, detail)
    # Deep values are decided, but not explained.
    except ValueError:
        pass
    return Judgement(Fit.BROKEN, "the value is too deep for more to be said")


@lru_cache(maxsize=_CACHED_SCHEMAS)
def _compiled(encoded: bytes, draft: Draft | None, assert_formats: bool) -> _Compiled:
    import jsonschema_rs

    schema = msgspec.json.decode(encoded)
    named = schema.get("$schema") if isinstance(schema, dict) else None
    if named is not None:
        draft = _DRAFT_URIS.get(named.rstrip("#")) if isinstance(named, str) else None
        if draft is None:
            known = ", ".join(_VALIDATORS)
            return _Compiled(
                None, f"its $schema {named!r} is none of the drafts {known}"[:_DETAIL_CHARACTERS]
            )
    kind = getattr(jsonschema_rs, _VALIDATORS[draft or DEFAULT_DRAFT])
    try:
        return _Compiled(kind(schema, validate_formats=assert_formats, offline=True))
    # Both kinds of a broken schema, a rule that is none and a reference that leads nowhere, are ValueErrors.
    except ValueError as error:
        return _Compiled(None, str(error).partition("\n")[0][:_DETAIL_CHARACTERS])


@lru_cache(maxsize=_CACHED_SCHEMAS)
def _is_costly(encoded: bytes) -> bool:
    """Whether a schema may take more than its size suggests: many patterns, or references that branch."""
    if len(encoded) > _MAX_SCHEMA_BYTES or encoded.count(b'"pattern') > _MAX_PATTERNS:
        return True
    if not any(name.encode() in encoded for name in _REFERENCES):
        return False
    schema = msgspec.json.decode(encoded)
    try:
        return _Paths(schema).count(schema) > _MAX_PATHS
    except (_UnboundedError, RecursionError):
        return True


class _UnboundedError(Exception):
    """The ways through a schema's references cannot be counted: they return to themselves or leave it."""


class _Paths:
    """Counts the ways through a schema's references, following each `#/...` to its place."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._found: dict[str, int] = {}
        self._open: set[str] = set()

    def count(self, part: Any) -> int:
        """Ways from `part` to the ends of its references. Raises _UnboundedError."""
        if isinstance(part, list):
            return sum(self.count(item) for item in part)
        if not isinstance(part, dict):
            return 0
        total = 1
        for key, value in part.items():
            if key in _REFERENCES:
                total += self._follow(value)
            else:
                total += self.count(value)
        return total

    def _follow(self, reference: Any) -> int:
        if not isinstance(reference, str) or reference in self._open:
            raise _UnboundedError
        if reference not in self._found:
            self._open.add(reference)
            self._found[reference] = self.count(self._target(reference))
            self._open.remove(reference)
        return self._found[reference]

    def _target(self, reference: str) -> Any:
        """The part of the schema that a reference such as `#/$defs/name` points to. Raises _UnboundedError."""
        if reference != "#" and not reference.startswith("#/"):
            raise _UnboundedError
        part = self._root
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(part, dict) or name not in part:
                raise _UnboundedError
            part = part[name]
        if reference == "#":
            raise _UnboundedError
        return part
