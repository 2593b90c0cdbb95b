"""Elements of lists and sets that are to be compared in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data_filters.verifiers.math.numbers import read_number, without_blanks
from data_filters.verifiers.math.shapes import Several, read_shape


def flattened(parts: Sequence[str]) -> list[str]:
    """Elements, with `a \\pm b` as the two that it stands for."""
    flat: list[str] = []
    for part in parts:
        shape = read_shape(part) if "\\pm" in part else None
        flat.extend(shape.parts if isinstance(shape, Several) else [part])
    return flat


def unlike(golds: list[str], givens: list[str]) -> tuple[list[str], list[str]]:
    """The elements of both sides that have no like by spelling or as plain numbers."""
    first, second = Counter(map(_key, golds)), Counter(map(_key, givens))
    common = first & second
    return _remaining(golds, common.copy()), _remaining(givens, common)


def _key(text: str) -> object:
    number = read_number(text)
    return (
        number.value
        if number is not None and not number.unit and not number.percent
        else without_blanks(text)
    )


def _remaining(texts: list[str], taken: Counter[object]) -> list[str]:
    left = []
    for text in texts:
        key = _key(text)
        if taken[key]:
            taken[key] -= 1
        else:
            left.append(text)
    return left
