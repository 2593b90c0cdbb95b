"""Rows of two files brought together as the sides of pairs, in the order of the pairs and not of the rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from data_filters.samples import Sample

_PAIRS_IN_MEMORY = 4096
_MOST_FILES = 256
"""Files that are open at once; beyond a million pairs more of them are in memory at a time."""

Sides = tuple[Sample | None, Sample | None]


PLACE_TYPE = np.dtype([("row", "<i8"), ("pair", "<i8"), ("side", "u1")])
"""The row with number `row` is side 0 or 1 of the pair with number `pair`."""


class _Side(NamedTuple):
    pair: int
    side: int
    sample: Sample


def sides_of_pairs(
    sources: Sequence[tuple[Iterable[Sample], np.ndarray]], pairs: int, scratch: Path
) -> Iterator[Sides]:
    """Yield the two sides of pair 0, 1, ... `pairs` - 1; None for a side that no row has a place on.

    Each source comes with its places (PLACE_TYPE) in any order, and is read once. The rows lie in files under `scratch`
    meanwhile, which is made anew and removed at the end.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        in_file = max(_PAIRS_IN_MEMORY, -(-pairs // _MOST_FILES))
        files = [scratch / f"{number:03d}.jsonl" for number in range(-(-pairs // in_file))]
        _write(sources, files, in_file)
        decoder = msgspec.json.Decoder(_Side)
        for number, file in enumerate(files):
            found: list[list[Sample | None]] = [
                [None, None] for _ in range(min(in_file, pairs - number * in_file))
            ]
            with file.open("rb") as lines:
                for pair, side, sample in map(decoder.decode, lines):
                    found[pair - number * in_file][side] = sample
            yield from ((first, second) for first, second in found)
    finally:
        shutil.rmtree(scratch)


def _write(
    sources: Sequence[tuple[Iterable[Sample], np.ndarray]], files: Sequence[Path], in_file: int
) -> None:
    encoder = msgspec.json.Encoder()
    with ExitStack() as stack:
        outputs = [stack.enter_context(file.open("wb")) for file in files]
        for rows, places in sources:
            for pair, side, sample in _placed(rows, np.sort(places, order=("row", "pair"))):
                outputs[pair // in_file].write(encoder.encode(_Side(pair, side, sample)) + b"\n")


def _placed(rows: Iterable[Sample], places: np.ndarray) -> Iterator[_Side]:
    """Yield each row as often as it has a place; reading ends with the last that has one."""
    numbered = enumerate(rows)
    number, sample = -1, None
    for row, pair, side in map(np.void.item, places):
        while number < row:
            number, sample = next(numbered)
        assert sample is not None, "rows are numbered from 0"
        yield _Side(pair, side, sample)
