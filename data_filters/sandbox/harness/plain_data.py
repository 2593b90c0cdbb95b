"""Plain data as text: the only thing that passes between a candidate and whoever judges it.

A value is written as JSON `[root, nodes]`. None, true, false, floats, texts and ordinary integers stand for
themselves; everything else is a node, which others name by `[number]`, so that shared and cyclic references
survive and no depth of nesting needs recursion. The list `a = [1, (2, "x")]` that also holds itself:

    [[0], [["list", [1, [1], [0]]], ["tuple", [2, "x"]]]]

No code, class or function passes. An instance travels as the name of its class with its attributes, and only
where the reader itself defines that class. A value of a subclass of a builtin type travels as the builtin value
inside it, read with the builtin's own methods: what its overridden methods would say does not matter.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

Item = Any
"""None, bool, int, float or str as themselves, or a reference to a node, `[number]`."""

Node = list[Any]
"""`[tag, items]`."""

SAME = "same"
"""Tag of an object that the reader already holds: items are its number there, then its new tag and items, if it
was changed."""

MAX_ITERATOR_ITEMS = 1_000_000
"""An iterator is read into a list as far as this; one that goes on is not plain data."""

_INLINE_BITS = 1024
"""Larger integers are written in base 16: their decimal form takes quadratic time and is capped by Python."""

_INLINE_LIMIT = 1 << _INLINE_BITS
_INLINE_TYPES = frozenset({type(None), bool, float, str})
NOT_NUMPY_DATA = "OV"
"""Kinds of numpy arrays whose bytes are not their values."""

_STANDARD_MODULES = frozenset({"builtins", "collections", "datetime", "decimal", "fractions", "numpy"})


class NotPlainDataError(TypeError):
    """A value that cannot be written as plain data; the text says what it is."""


class MalformedDataError(ValueError):
    """A text that does not read as plain data."""


@dataclass(frozen=True)
class Written:
    """A value as text, and the objects behind its nodes in their order."""

    text: str
    objects: list[object]


Classes = Mapping[str, type]


def write(
    value: object,
    classes: Classes | None = None,
    held: Sequence[object] = (),
    changed: bool = True,
) -> Written:
    """Write a value as text.

    `classes` are those whose instances may travel, by name. `held` are the objects that the reader holds by
    number: they are written with their contents where `changed`, else as their number alone. Raises
    NotPlainDataError.
    """
    writer = _Writer(classes or {}, held, changed)
    root = writer.item(value)
    return Written(_encode([root, writer.finished_nodes()]), writer.objects)


def parse(text: str | bytes) -> tuple[Item, list[Node]]:
    """The root and the nodes of a text, checked for their form alone. Raises MalformedDataError."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedDataError(f"not JSON: {error}"[:200]) from error
    if not isinstance(parsed, list) or len(parsed) != 2 or not isinstance(parsed[1], list):
        raise MalformedDataError("not [root, nodes]")
    root, nodes = parsed
    for node in nodes:
        if not (isinstance(node, list) and len(node) == 2):
            raise MalformedDataError("a node is [tag, items]")
        if not (isinstance(node[0], str) and isinstance(node[1], list)):
            raise MalformedDataError("a node is [tag, items]")
    return root, nodes


def reference(item: Item, count: int) -> int | None:
    """The number of the node that an item refers to; None for a value. Raises MalformedDataError."""
    if not isinstance(item, list):
        if isinstance(item, dict):
            raise MalformedDataError("an item is a value or a reference")
        return None
    if len(item) != 1 or type(item[0]) is not int or not 0 <= item[0] < count:
        raise MalformedDataError(f"no node {str(item)[:40]}")
    return item[0]


class _Writer:
    """The nodes of one value, found breadth first."""

    def __init__(self, classes: Classes, held: Sequence[object], changed: bool) -> None:
        self.objects: list[object] = []
        self._classes = classes
        self._changed = changed
        self._numbers: dict[int, int] = {}
        self._held = {id(thing): number for number, thing in enumerate(held) if is_changeable(thing)}

    def item(self, value: object) -> Item:
        kind = type(value)
        if kind in _INLINE_TYPES:
            return value
        if isinstance(value, int) and kind is not bool:
            exact = int.__index__(value)
            return exact if -_INLINE_LIMIT < exact < _INLINE_LIMIT else self._number(exact)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if kind.__module__ == "numpy" and isinstance(value, sys.modules["numpy"].generic):
            return self.item(value.item())
        return self._number(value)

    def items(self, values: Sequence[object]) -> list[Item]:
        # Most lists hold nothing but numbers and texts.
        if all(kind in _INLINE_TYPES or kind is int for kind in set(map(type, values))):
            for value in values:
                if type(value) is int and not -_INLINE_LIMIT < value < _INLINE_LIMIT:
                    break
            else:
                return list(values)
        return [self.item(value) for value in values]

    def finished_nodes(self) -> list[Node]:
        nodes: list[Node] = []
        # Describing an object appends those that it refers to.
        while len(nodes) < len(self.objects):
            nodes.append(self._node(self.objects[len(nodes)]))
        return nodes

    def _number(self, value: object) -> list[int]:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.objects)
            # Also keeps the object alive, so that no other one can take its id.
            self.objects.append(value)
        return [number]

    def _node(self, value: object) -> Node:
        number = self._held.get(id(value))
        if number is None:
            return self._described(value)
        if not self._changed:
            return [SAME, [number]]
        tag, items = self._described(value)
        return [SAME, [number, tag, *items]]

    def _described(self, value: object) -> Node:
        writer = _WRITER_OF.get(type(value)) or next(
            (found for found in _WRITERS if isinstance(value, found[0])), None
        )
        if writer is not None:
            _, tag, contents = writer
            return [tag, self.items(contents(value))]
        if type(value).__module__ == "numpy":
            return self._numpy(value)
        name = type(value).__name__
        if self._classes.get(name) is type(value):
            attributes = [part for pair in _attributes(value) for part in pair]
            return ["object", [name, *self.items(attributes)]]
        if isinstance(value, Iterator):
            return ["iterator", self.items(_finite(value))]
        raise NotPlainDataError(f"{name} is not plain data")

    def _numpy(self, value: Any) -> Node:
        numpy = sys.modules["numpy"]
        if not isinstance(value, numpy.ndarray) or value.dtype.kind in NOT_NUMPY_DATA:
            raise NotPlainDataError(f"{type(value).__name__} is not plain data")
        return ["ndarray", [value.dtype.str, _latin(value.tobytes()), *value.shape]]


def is_changeable(thing: object) -> bool:
    """Whether an object can be changed in place, so that a reader must take over its changes."""
    if isinstance(thing, list | deque | bytearray | set | dict):
        return True
    return type(thing).__module__ not in _STANDARD_MODULES


def _latin(value: bytes | bytearray) -> str:
    return value.decode("latin-1")


def _flat(pairs: Iterable[tuple[object, object]]) -> list[object]:
    return [part for pair in pairs for part in pair]


def _finite(values: Iterator[object]) -> list[object]:
    found = list(islice(values, MAX_ITERATOR_ITEMS + 1))
    if len(found) > MAX_ITERATOR_ITEMS:
        raise NotPlainDataError(f"{type(values).__name__} gives more than {MAX_ITERATOR_ITEMS} items")
    return found


def _attributes(value: object) -> list[tuple[str, object]]:
    """The attributes in the instance's dictionary and slots."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    found = [(name, getattr(value, name)) for name in slots if hasattr(value, name)]
    return found + list(vars(value).items() if hasattr(value, "__dict__") else ())


def _slots(kind: type) -> Sequence[str]:
    declared = vars(kind).get("__slots__", ())
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


_WRITERS: list[tuple[type, str, Callable[[Any], Sequence[object]]]] = [
    (list, "list", lambda value: [*list.__iter__(value)]),
    (tuple, "tuple", lambda value: [*tuple.__iter__(value)]),
    (Counter, "Counter", lambda value: _flat(dict.items(value))),
    (OrderedDict, "OrderedDict", lambda value: _flat(OrderedDict.items(value))),
    (dict, "dict", lambda value: _flat(dict.items(value))),
    (set, "set", lambda value: [*set.__iter__(value)]),
    (frozenset, "frozenset", lambda value: [*frozenset.__iter__(value)]),
    (int, "int", lambda value: [hex(value)]),
    (complex, "complex", lambda value: [value.real, value.imag]),
    (bytes, "bytes", lambda value: [_latin(bytes.__getitem__(value, slice(None)))]),
    (bytearray, "bytearray", lambda value: [_latin(bytearray.__getitem__(value, slice(None)))]),
    (deque, "deque", lambda value: [*deque.__iter__(value)]),
    (Decimal, "Decimal", lambda value: [Decimal.__str__(value)]),
    (Fraction, "Fraction", lambda value: [value.numerator, value.denominator]),
    (datetime.datetime, "datetime", lambda value: [value.isoformat(), value.fold]),
    (datetime.date, "date", lambda value: [value.isoformat()]),
    (datetime.time, "time", lambda value: [value.isoformat(), value.fold]),
    (datetime.timedelta, "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (range, "range", lambda value: [value.start, value.stop, value.step]),
    (slice, "slice", lambda value: [value.start, value.stop, value.step]),
    (type(...), "ellipsis", lambda value: []),
    (type({}.keys()), "keys", lambda value: [*value]),
    (type({}.values()), "values", lambda value: [*value]),
    (type({}.items()), "pairs", lambda value: _flat(value)),
]
_WRITER_OF = {writer[0]: writer for writer in _WRITERS}
"""For all but instances of subclasses."""

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
