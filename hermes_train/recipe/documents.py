"""Recipe files as YAML 1.2: read safely, with the line of every key.

YAML 1.1, which PyYAML speaks by default, has traps for recipes: `1e-5` is text, `no` and `on` are booleans,
`010` is eight and `12:30` is 750. Here `1e-5` is a number, only true and false are booleans, and the rest is
what it looks like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from data_filters.errors import UserError
from hermes_train.recipe.tree import CommandLine, Entry, FileLine, Origin, Scalar, shown

_TAG = "tag:yaml.org,2002:"
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class _RecipeLoader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2 instead of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name


for _name, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _RecipeLoader.add_implicit_resolver(_TAG + _name, re.compile(rf"^{_pattern}$"), list(_first))


def read_document(path: Path) -> Entry:
    """Return the mapping that a recipe file holds.

    Raises UserError when the file cannot be read, is no UTF-8 text, is no YAML, gives a key twice or holds no
    mapping.
    """
    entry = _parse(_read_text(path), path)
    if entry is None:
        raise UserError(f"{shown(path)}: the file is empty; a recipe is a mapping of keys to values")
    if not isinstance(entry.value, dict):
        raise UserError(f"{entry.origin}: a recipe is a mapping of keys to values; this is {kind(entry)}")
    return entry


def parse_override_value(text: str, override: str) -> Entry:
    """Return the value of an -o option: a scalar, `[a, b]` or `{key: value}`.

    `override` is the whole option as typed, for the error. Raises UserError when the text is no YAML.
    """
    origin = CommandLine(override)
    return _parse(text, origin) or Entry(None, origin)


def resolves_to_text(text: str) -> bool:
    """Return whether the text, written without quotes, is read back as the same text.

    Raises yaml.YAMLError for a text with characters that mean something to YAML.
    """
    node = yaml.compose(text, Loader=_RecipeLoader)
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}str" and node.value == text


def kind(entry: Entry) -> str:
    """Return in a few words what the entry is."""
    if isinstance(entry.value, dict):
        return "a mapping"
    return "a list" if isinstance(entry.value, list) else repr(entry.value)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except IsADirectoryError:
        raise UserError(f"{shown(path)} is a folder; give one recipe file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{shown(path)}: byte {error.start} is no UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read: {error.strerror}") from None


def _parse(text: str, where: Path | CommandLine) -> Entry | None:
    try:
        node = yaml.compose(text, Loader=_RecipeLoader)
        return None if node is None else _Converter(where).entry(node, _place(where, node.start_mark))
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{_place(where, error.problem_mark)}: not valid YAML: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        origin = where if isinstance(where, CommandLine) else FileLine(where, line)
        character = f"the character #x{error.character:04x} is not allowed"
        raise UserError(f"{origin}: not valid YAML: {character}") from None
    except RecursionError:
        raise UserError(f"{_place(where, None)}: nested too deeply to be a recipe") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


def _place(where: Path | CommandLine, mark: Any) -> Origin:
    return where if isinstance(where, CommandLine) else FileLine(where, mark.line + 1 if mark else 1)


class _Converter:
    """Turns the YAML nodes of one text into entries, and refuses an alias that holds itself."""

    def __init__(self, where: Path | CommandLine) -> None:
        self._where = where
        self._open: list[yaml.Node] = []  # the nodes above the one at hand

    def entry(self, node: yaml.Node, origin: Origin) -> Entry:
        """Return the entry of a node; `origin` is the line of its key, where it has one."""
        if any(node is above for above in self._open):
            raise UserError(f"{origin}: the alias stands inside what it repeats; write the values out")
        self._open.append(node)
        try:
            return Entry(self._value(node, origin), origin)
        finally:
            self._open.pop()

    def _value(self, node: yaml.Node, origin: Origin) -> Scalar | dict[str, Entry] | list[Entry]:
        known = {"map", "seq", "str", "int", "float", "bool", "null"}
        if node.tag.removeprefix(_TAG) not in known:
            tag = node.tag.replace(_TAG, "!!")
            raise UserError(f"{origin}: the tag {tag} is not allowed; a recipe holds plain values only")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.entry(item, _place(self._where, item.start_mark)) for item in node.value]
        return _scalar(node, origin)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            origin = _place(self._where, key_node.start_mark)
            key = key_node.value
            if not isinstance(key, str):
                raise UserError(f"{origin}: a key must be a word; this one is {_node_kind(key_node)}")
            if key == "<<":
                raise UserError(f"{origin}: the merge key << is not read; use extends for a base recipe")
            if key in entries:
                raise UserError(f"{origin}: the key {key} is given twice; {entries[key].origin} has it first")
            entries[key] = self.entry(value_node, origin)
        return entries


def _node_kind(node: yaml.Node) -> str:
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def _scalar(node: yaml.Node, origin: Origin) -> Scalar:
    tag = node.tag.removeprefix(_TAG)
    try:
        value = _CONSTRUCTORS[tag](node.value)
    except (KeyError, ValueError):
        raise UserError(f"{origin}: {node.value[:40]!r} cannot be read as {_KINDS[tag]}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{origin}: {node.value} is too large for a number; put text in quotes")
    if isinstance(value, str) and _HALF_CHARACTER.search(value):
        raise UserError(
            f"{origin}: the text holds half a character, \\ud800 to \\udfff; write \\U and 8 digits"
        )
    return value


_CONSTRUCTORS: dict[str, Callable[[str], Scalar]] = {
    "null": lambda _: None,
    "bool": _TRUTH.__getitem__,
    "int": int,
    "float": float,
    "str": str,
}
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_KINDS = {"bool": "a boolean; write true or false", "int": "a whole number", "float": "a number"}
