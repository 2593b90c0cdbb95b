"""The fields of a row as texts, and the error of a row that cannot be read."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


class RowError(Exception):
    """A row that cannot be read as a sample: `reason` is a stable slug, `detail` is for people.

    `line` is the start of the text that did not parse, where it did not come as far as a row.
    """

    def __init__(self, reason: str, detail: str, line: str = "") -> None:
        super().__init__(reason, detail, line)
        self.reason = reason
        self.detail = detail
        self.line = line

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def read_text(value: object, name: str) -> str:
    """A text, or the texts of a list of text parts put together. Raises RowError `message_not_text`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_is_text_part(part) for part in value):
        return "".join(part["text"] for part in value)
    raise RowError("message_not_text", f"{name} is a text; here it is {kind_of(value)}")


def read_first_text(row: Row, names: tuple[str, ...]) -> str:
    """The first field of `names` that is filled. Raises RowError `no_messages` when none is."""
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        raise RowError("no_messages", f"none of the fields is filled: {', '.join(names)}")
    return read_text(row[name], name)


def kind_of(value: object) -> str:
    """What a JSON value is, in words for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "missing"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
