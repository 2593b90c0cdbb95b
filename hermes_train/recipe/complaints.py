"""What is wrong with a recipe, in plain words: one line per fault, each with its place, value and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hermes_train.recipe.keys import section_at, unknown_key_hint
from hermes_train.recipe.tree import CommandLine, Default, Entry, KeyPath, Origin, dotted, find, nearest

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_WITH_VALUE = re.compile(r"([a-z_][a-z0-9_.]*) \(")
"""A key with its value, as the schema's cross-field messages write it: `warmup_steps (300)`."""

_ALLOWED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "a whole number, such as 300",
    "float_type": lambda _: "a number",
    "bool_type": lambda _: "true or false",
    "string_type": lambda _: "text; put it in quotes",
    "list_type": lambda _: "a list",
    "model_type": lambda _: "a section of keys and values",
    "model_attributes_type": lambda _: "a section of keys and values",
    "greater_than_equal": lambda bounds: f"at least {bounds['ge']:g}",
    "greater_than": lambda bounds: f"more than {bounds['gt']:g}",
    "less_than_equal": lambda bounds: f"at most {bounds['le']:g}",
    "less_than": lambda bounds: f"less than {bounds['lt']:g}",
    "string_pattern_mismatch": lambda bounds: f"text of the form {bounds['pattern']}",
    "string_too_short": lambda bounds: f"text of at least {bounds['min_length']} character(s)",
    "too_short": lambda bounds: f"a list of at least {bounds['min_length']} item(s)",
    "literal_error": lambda bounds: f"{bounds['expected']}",
}
"""What a value may be, by pydantic's name of the error."""


def complaints(error: ValidationError, root: Entry) -> list[str]:
    """Return one line for each fault that the schema found in the recipe `root`."""
    return [_complaint(detail, root) for detail in error.errors(include_url=False)]


def _complaint(detail: ErrorDetails, root: Entry) -> str:
    path = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            return f"{_origin(root, path)}: unknown key {dotted(path)}; {unknown_key_hint(path)}"
        case "missing":
            return _missing(root, path)
        case "value_error":
            return _disagreement(root, path, str(detail["ctx"]["error"]))
        case kind if kind in _ALLOWED:
            allowed = _ALLOWED[kind](detail.get("ctx", {}))
            return f"{_given(root, detail)}; it must be {allowed}{_near_choice(detail)}"
        case _:
            return f"{_given(root, detail)}: {detail['msg']}"


def _given(root: Entry, detail: ErrorDetails) -> str:
    path = detail["loc"]
    return f"{_origin(root, path)}: {dotted(path)} is {_shown(detail['input'])}"


def _origin(root: Entry, path: KeyPath) -> Origin:
    return nearest(root, path).origin


def _missing(root: Entry, path: KeyPath) -> str:
    *above, key = path
    section = dotted(tuple(above)) or "the recipe"
    return f"{_origin(root, path)}: {section} lacks {key}, which has no default"


def _disagreement(root: Entry, section: KeyPath, message: str) -> str:
    """Return a cross-field complaint at one key that it names, with the places of the others.

    An option comes first, since it is what the user changed last; then the key that the message names first.
    """
    keys = _WITH_VALUE.findall(message)
    places = {key: origin for key in keys if (origin := _key_origin(root, section, key))}
    written = [origin for origin in places.values() if not isinstance(origin, Default)]
    written.sort(key=lambda origin: not isinstance(origin, CommandLine))
    place = written[0] if written else _origin(root, section)
    others = "; ".join(_set_by(key, origin) for key, origin in places.items() if origin != place)
    about = f"{dotted(section)}: " if section else ""
    return f"{place}: {about}{message}" + (f" ({others})" if others else "")


def _set_by(key: str, origin: Origin) -> str:
    return f"{key} is the default" if isinstance(origin, Default) else f"{key} is set by {origin}"


def _key_origin(root: Entry, section: KeyPath, key: str) -> Origin | None:
    """Return where a key of the section was set; Default where the schema knows it but nobody set it."""
    path = (*section, *key.split("."))
    entry = find(root, path)
    if entry is not None:
        return entry.origin
    above = section_at(path[:-1])
    return Default() if above and path[-1] in above.model_fields else None


def _near_choice(detail: ErrorDetails) -> str:
    """Return a guess at the choice that a mistyped word was meant as."""
    if detail["type"] != "literal_error" or not isinstance(detail["input"], str):
        return ""
    choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    near = difflib.get_close_matches(detail["input"], choices, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "null" if value is None else repr(value)
