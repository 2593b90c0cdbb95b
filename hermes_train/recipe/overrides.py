"""Overrides from the command line: `-o sft.learning_rate=1e-5`.

An override says what one more child recipe would say: mappings merge, all else is replaced, null asks for the
default. Unlike a file it can also reach into a list, by position or by the item's name:
`data.sources.0.rows=100`, `data.sources.gsm8k.rows=100`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from data_filters.errors import UserError
from hermes_train.recipe.documents import kind, parse_override_value
from hermes_train.recipe.tree import CommandLine, Entry, dotted, merge


@dataclass(frozen=True)
class Override:
    """One -o option: the keys to walk and the value to set."""

    keys: tuple[str, ...]
    value: Entry
    text: str


def as_options(overrides: Iterable[str]) -> list[str]:
    """Return overrides as they stand on a command line: -o sft.steps=5 -o ..."""
    return [part for override in overrides for part in ("-o", override)]


def parse_override(text: str) -> Override:
    """Return the override that `a.b=c` stands for; raises UserError for another form."""
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise UserError(f"-o {text}: an override has the form KEY.KEY=VALUE, such as -o sft.steps=100")
    if keys[0] == "extends":
        raise UserError(f"-o {text}: extends cannot be overridden; write a recipe that extends another base")
    return Override(keys, parse_override_value(value, text), text)


def apply_override(root: Entry, override: Override) -> Entry:
    """Return the tree with the override applied.

    Raises UserError when the path leads into a value that is no section, or to a list item that is not there.
    A key that the schema does not know is left for the schema to refuse.
    """
    return _apply(root, override, 0)


def _apply(entry: Entry, override: Override, depth: int) -> Entry:
    if depth == len(override.keys):
        return merge(entry, override.value)
    origin = CommandLine(override.text)
    key = override.keys[depth]
    if entry.value is None:
        entry = Entry({}, origin)
    if isinstance(entry.value, dict):
        below = entry.value.get(key, Entry(None, origin))
        return Entry({**entry.value, key: _apply(below, override, depth + 1)}, entry.origin)
    if isinstance(entry.value, list):
        position = _position(entry.value, override, depth)
        changed = _apply(entry.value[position], override, depth + 1)
        return Entry([*entry.value[:position], changed, *entry.value[position + 1 :]], entry.origin)
    above = dotted(override.keys[:depth])
    raise UserError(f"-o {override.text}: {above} is {kind(entry)}, not a section; it has no key {key}")


def _position(items: list[Entry], override: Override, depth: int) -> int:
    """Return which list item the key names, by position or by the item's `name`."""
    key = override.keys[depth]
    names = [_name(item) for item in items]
    if key in names:
        return names.index(key)
    positions = [str(position) for position in range(len(items))]
    if key in positions:
        return positions.index(key)
    where = f"-o {override.text}: {dotted(override.keys[:depth])}"
    if not items:
        raise UserError(f"{where} is an empty list; set the whole list")
    allowed = [name for name in names if name]
    choices = f"name one of {', '.join(allowed)}, or give" if allowed else "give"
    raise UserError(f"{where} has no item {key}; {choices} a position from 0 to {len(items) - 1}")


def _name(item: Entry) -> str | None:
    name = item.child("name")
    return name.value if name and isinstance(name.value, str) else None
