"""Whether a candidate's result is the expected one. The result stays text: nothing of it becomes an object here.

The rules, which `docs/filters.md` states for users:

- null, true, false and texts equal only themselves; an expected integer equals only that integer;
- an expected float equals a float or an integer of its value, within the task's tolerance; NaN equals NaN;
- an expected list equals a list or a tuple, since JSON has no tuples;
- an expected object equals a dictionary whose keys, written as JSON keys, are its own.
"""

from __future__ import annotations

import math
import re
from typing import Any

from data_filters.sandbox.harness.plain_data import Item, MalformedDataError, Node, parse, reference

_DICTIONARIES = frozenset({"dict", "OrderedDict", "Counter"})
_SEQUENCES = frozenset({"list", "tuple"})
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_JSON_KEYS = {True: "true", False: "false", None: "null"}


def result_difference(expected: Any, text: str, tolerance: float | None) -> str | None:
    """Where a result, as plain data, differs from the expected JSON value; None when it does not."""
    try:
        root, nodes = parse(text)
        return _difference(expected, root, nodes, tolerance)
    except MalformedDataError as error:
        return f"not plain data: {error}"


def output_difference(expected: str, printed: str, tolerance: float | None) -> str | None:
    """Where a program's output differs from the expected one; None when it does not.

    Blanks at the ends of lines and empty lines at the end do not count. With a tolerance, words that are numbers
    may be off by it, and any blanks part words.
    """
    wanted, found = _lines(expected), _lines(printed)
    if wanted == found:
        return None
    if tolerance is not None:
        return _words_difference(expected.split(), printed.split(), tolerance)
    for number, (line, other) in enumerate(zip(wanted, found, strict=False), start=1):
        if line != other:
            return f"line {number}: expected {line[:80]!r}, found {other[:80]!r}"
    return f"expected {len(wanted)} lines, found {len(found)}"


def _difference(expected: Any, item: Item, nodes: list[Node], tolerance: float | None) -> str | None:
    """Compare without recursion: an expected value may be nested more deeply than Python calls."""
    waiting: list[tuple[Any, Item]] = [(expected, item)]
    while waiting:
        wanted, found = waiting.pop()
        number = reference(found, len(nodes))
        if number is None:
            if not _same_scalar(wanted, found, tolerance):
                return _shown(wanted, _described(found))
            continue
        tag, items = nodes[number]
        pairs = _paired(wanted, tag, items)
        if pairs is None:
            return _shown(wanted, _contents(tag, items))
        waiting += pairs
    return None


def _paired(wanted: Any, tag: str, items: list[Item]) -> list[tuple[Any, Item]] | None:
    """What remains to be compared inside two values; None when the values differ."""
    if isinstance(wanted, list) and tag in _SEQUENCES and len(wanted) == len(items):
        return list(zip(wanted, items, strict=True))
    if isinstance(wanted, dict) and tag in _DICTIONARIES and len(items) == 2 * len(wanted):
        keys = [_json_key(key) for key in items[::2]]
        found = dict(zip(keys, items[1::2], strict=True))
        return [(wanted[key], found[key]) for key in wanted] if found.keys() == wanted.keys() else None
    if type(wanted) is int and tag == "int" and items == [hex(wanted)]:
        return []
    return None


def _same_scalar(wanted: Any, found: Any, tolerance: float | None) -> bool:
    if isinstance(wanted, float):
        return type(found) in (int, float) and close(wanted, found, tolerance)
    return type(wanted) is type(found) and bool(wanted == found)


def close(wanted: float, found: float, tolerance: float | None) -> bool:
    """Whether two numbers are the same, or within a tolerance, absolute or relative to the wanted one."""
    if wanted == found or (wanted != wanted and found != found):
        return True
    if tolerance is None:
        return False
    try:
        difference = abs(found - wanted)
    except OverflowError:
        # An integer beyond every float.
        return False
    return math.isfinite(difference) and difference <= tolerance * max(1.0, abs(wanted))


def _json_key(key: Item) -> str | None:
    """A dictionary's key as JSON would write it; None for one that JSON has not."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return _JSON_KEYS[key]
    return repr(key) if isinstance(key, int | float) else None


def _words_difference(wanted: list[str], found: list[str], tolerance: float) -> str | None:
    for word, other in zip(wanted, found, strict=False):
        if word != other and not _close_words(word, other, tolerance):
            return f"expected {word[:80]!r}, found {other[:80]!r}"
    return None if len(wanted) == len(found) else f"expected {len(wanted)} words, found {len(found)}"


def _close_words(wanted: str, found: str, tolerance: float) -> bool:
    if not (_NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(found)):
        return False
    return close(float(wanted), float(found), tolerance)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _shown(wanted: Any, found: str) -> str:
    return f"expected {_described(wanted)}, found {found}"


def _described(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:80]}" if type(value) is not int else f"int {_short(value)}"


def _short(value: int) -> str:
    """An integer's digits, or its size: Python refuses to write out very long ones."""
    return str(value) if value.bit_length() < 256 else f"of {value.bit_length()} bits"


def _contents(tag: str, items: list[Item]) -> str:
    return f"{tag[:40]} {str(items)[:80]}"
