"""Reading plain data, which may come from hostile hands. See `plain_data` for its form."""

from __future__ import annotations

import datetime
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any

from data_filters.sandbox.harness.plain_data import (
    MAX_ITERATOR_ITEMS,
    NOT_NUMPY_DATA,
    SAME,
    Classes,
    Item,
    MalformedDataError,
    Node,
    is_changeable,
    parse,
    reference,
)


@dataclass(frozen=True)
class Read:
    """A value that was read, and the objects that its nodes became in their order."""

    value: Any
    objects: list[object]


def read(text: str | bytes, classes: Classes | None = None, held: Sequence[object] = ()) -> Read:
    """Read a value; objects of `held` that the writer changed are changed in place. Raises MalformedDataError.

    The text may come from hostile hands: it can make no other objects than plain data and instances of
    `classes`, and sets no attribute that would hide a method.
    """
    root, nodes = parse(text)
    reader = _Reader(nodes, classes or {}, held)
    try:
        return Read(reader.value(root), reader.objects)
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RecursionError) as error:
        raise MalformedDataError(f"{type(error).__name__}: {error}"[:200]) from error


_SCALARS = frozenset({type(None), bool, int, float, str})

_Filler = tuple[int, Callable[[Any, list[Any]], None], object, list[Item]]
"""How an empty object gets its contents: those of a lower order first; a function, the object, the items."""


class _Reader:
    """The objects of parsed nodes: first the changeable ones, empty; then the others; then the contents."""

    def __init__(self, nodes: list[Node], classes: Classes, held: Sequence[object]) -> None:
        self._nodes = nodes
        self._classes = classes
        self._held = held
        self.objects: list[object] = [None] * len(nodes)
        self._made = bytearray(len(nodes))

    def value(self, root: Item) -> object:
        fillers = [
            filler for number in range(len(self._nodes)) if (filler := self._shell(number)) is not None
        ]
        for number, made in enumerate(self._made):
            if not made:
                self._make(number)
        # An instance may be a key, and its class may read its attributes to hash it: dictionaries come last.
        fillers.sort(key=itemgetter(0))
        for _, fill, target, items in fillers:
            fill(target, self._items(items))
        return self._item(root)

    def _item(self, item: Item) -> object:
        number = reference(item, len(self._nodes))
        return item if number is None else self.objects[number]

    def _items(self, items: list[Item]) -> list[Any]:
        return [item if type(item) in _SCALARS else self._item(item) for item in items]

    def _shell(self, number: int) -> _Filler | None:
        """Make an empty object for a changeable node and say how it is filled; None for all others."""
        tag, items = self._nodes[number]
        shell: object = None
        if tag == SAME:
            shell = self._held_object(items)
            if len(items) == 1:
                self._put(number, shell)
                return None
            tag, items = items[1], items[2:]
        if tag == "object":
            name, *items = items
            known = self._classes.get(name)
            if known is None:
                raise MalformedDataError(f"no class {str(name)[:40]!r} here")
            shell = object.__new__(known) if shell is None else shell
            self._put(number, shell)
            return 0, _fill_object, shell, items
        if tag not in _CHANGEABLE:
            if shell is not None:
                raise MalformedDataError(f"{str(tag)[:40]!r} cannot change")
            return None
        make, fill, order = _CHANGEABLE[tag]
        if shell is not None and not isinstance(shell, make):
            raise MalformedDataError(f"{type(shell).__name__} cannot become {tag}")
        shell = make() if shell is None else shell
        self._put(number, shell)
        return order, fill, shell, items

    def _held_object(self, items: list[Item]) -> object:
        if not items or type(items[0]) is not int or not 0 <= items[0] < len(self._held):
            raise MalformedDataError("no such object here")
        held = self._held[items[0]]
        if not is_changeable(held):
            raise MalformedDataError(f"{type(held).__name__} cannot change")
        return held

    def _make(self, first: int) -> None:
        """Make an unchangeable object, after those that it holds."""
        waiting, opened = [first], set()
        while waiting:
            number = waiting[-1]
            if self._made[number]:
                waiting.pop()
                continue
            tag, items = self._nodes[number]
            held = [item for item in items if type(item) not in _SCALARS]
            needed = [found for item in held if (found := reference(item, len(self._nodes))) is not None]
            missing = [found for found in needed if not self._made[found]]
            if not missing:
                self._put(number, _made(tag, self._items(items)))
            elif number in opened:
                raise MalformedDataError("unchangeable values hold each other")
            else:
                opened.add(number)
                waiting += missing

    def _put(self, number: int, made: object) -> None:
        self.objects[number] = made
        self._made[number] = 1


def _fill_list(target: Any, items: list[Any]) -> None:
    target[:] = items


def _fill_deque(target: deque[Any], items: list[Any]) -> None:
    target.clear()
    target.extend(items)


def _fill_bytes(target: bytearray, items: list[Any]) -> None:
    target[:] = items[0].encode("latin-1")


def _fill_set(target: set[Any], items: list[Any]) -> None:
    target.clear()
    target.update(items)


def _fill_dict(target: dict[Any, Any], items: list[Any]) -> None:
    target.clear()
    # Not Counter's own update, which would add up.
    update = OrderedDict.update if isinstance(target, OrderedDict) else dict.update
    update(target, zip(items[::2], items[1::2], strict=True))


def _fill_object(target: object, items: list[Any]) -> None:
    """Set attributes past the class's own `__setattr__`; none may hide a method."""
    for name, value in zip(items[::2], items[1::2], strict=True):
        if name.startswith("__") or callable(getattr(type(target), name, None)):
            raise MalformedDataError(f"{type(target).__name__}.{name} is no attribute to set")
        object.__setattr__(target, name, value)


_CHANGEABLE: dict[str, tuple[type, Callable[[Any, list[Any]], None], int]] = {
    "list": (list, _fill_list, 1),
    "deque": (deque, _fill_deque, 1),
    "bytearray": (bytearray, _fill_bytes, 1),
    "set": (set, _fill_set, 2),
    "dict": (dict, _fill_dict, 2),
    "OrderedDict": (OrderedDict, _fill_dict, 2),
    "Counter": (Counter, _fill_dict, 2),
}


def _made(tag: str, items: list[Any]) -> object:
    maker = _MAKERS.get(tag)
    if maker is None:
        raise MalformedDataError(f"no plain data is called {str(tag)[:40]!r}")
    return maker(items)


def _from_iso(kind: Any) -> Callable[[list[Any]], object]:
    """Reads `[iso text]`, or `[iso text, fold]` of a time that comes twice in a night."""
    return lambda items: kind.fromisoformat(items[0]).replace(**({"fold": items[1]} if items[1:] else {}))


def _ndarray(items: list[Any]) -> object:
    import numpy

    kind, contents, *shape = items
    dtype = numpy.dtype(kind)
    if dtype.kind in NOT_NUMPY_DATA:
        raise MalformedDataError(f"arrays of {dtype} are not plain data")
    return numpy.frombuffer(contents.encode("latin-1"), dtype).reshape(shape).copy()


def _range(items: list[Any]) -> object:
    """A range that can be walked to its end: it is a few bytes long, and could hold the other side for ever."""
    found = range(*items)
    if found[MAX_ITERATOR_ITEMS:]:
        raise MalformedDataError(f"a range of more than {MAX_ITERATOR_ITEMS} items")
    return found


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


_MAKERS: dict[str, Callable[[list[Any]], object]] = {
    "int": lambda items: int(items[0], 16),
    "complex": lambda items: complex(items[0], items[1]),
    "bytes": lambda items: items[0].encode("latin-1"),
    "tuple": tuple,
    "frozenset": frozenset,
    "range": _range,
    "slice": lambda items: slice(*items),
    "Decimal": lambda items: Decimal(items[0]),
    "Fraction": lambda items: Fraction(items[0], items[1]),
    "datetime": _from_iso(datetime.datetime),
    "date": _from_iso(datetime.date),
    "time": _from_iso(datetime.time),
    "timedelta": lambda items: datetime.timedelta(*items),
    "iterator": iter,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
    "pairs": lambda items: _pairs(items).items(),
    "ellipsis": lambda items: ...,
    "ndarray": _ndarray,
}
