"""A copy of a part of a token store with its packs: some documents, under the numbers that they have in the whole.

    documents-00000.arrow, .json   the documents, in a shard like any other
    numbers.npy                    their numbers in the whole store
    columns.arrow, *.npz           as in the whole: what is small of all documents, and all packs
    store.json                     the size of the shard, and the names of the sources

TokenStore reads it as it reads the whole, and refuses documents that are not there.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import msgspec
import numpy as np

from data_filters.files import write_atomically
from hermes_train.chat.labels import Document
from hermes_train.packing.held_out import HELD_OUT_INDEX
from hermes_train.packing.pack_index import INDEX
from hermes_train.packing.shards import write_shard
from hermes_train.packing.store import COLUMNS_FILE, NUMBERS_FILE, STORE_FILE, Extent, StoreFacts, TokenStore

_RUN_DOCUMENTS = 64
"""Documents that are read at once where they are neighbours."""
_READERS = 16
"""Reads under way at a time: a shared file system answers each after a while, and many at once."""

Report = Callable[[int, int], None]
"""Is told (bytes of tokens done, bytes of tokens to be copied)."""


@dataclass(frozen=True)
class _Run:
    """Neighbours in a file: documents by their numbers, and the bytes of their tokens."""

    numbers: list[int]
    place: Extent


def expected_bytes(store: TokenStore, numbers: np.ndarray) -> int:
    """Return about how large a copy of the documents `numbers` and of the packs of `store` is."""
    lengths = store.lengths()
    beside_tokens = (store.file_bytes() - 4 * int(lengths.sum())) / max(1, len(store))
    whole_files = sum(path.stat().st_size for path in _copied_whole(store.folder))
    return whole_files + 4 * int(lengths[numbers].sum()) + round((beside_tokens + 8) * len(numbers))


def copy_part(whole: Path, numbers: np.ndarray, folder: Path, report: Report) -> None:
    """Write a copy of some documents of the store in `whole`, and of its packs, to an empty folder.

    `numbers` are theirs, ascending. Little is read but these documents: with what the system reads around every page,
    each node would read most of the store. Raises OSError where a disk fails or has no room.
    """
    store = TokenStore(whole, pages_alone=True)
    facts = write_shard(folder, 0, _documents(store, numbers, report))
    for path in _copied_whole(store.folder):
        shutil.copyfile(path, folder / path.name)
    np.save(folder / NUMBERS_FILE, numbers)
    with write_atomically(folder / STORE_FILE, "wb") as file:
        file.write(msgspec.json.encode(StoreFacts([facts], list(store.source_names))) + b"\n")


def _copied_whole(folder: Path) -> list[Path]:
    names = (COLUMNS_FILE, INDEX, HELD_OUT_INDEX)
    return [path for name in names if (path := folder / name).exists()]


def _documents(store: TokenStore, numbers: np.ndarray, report: Report) -> Iterator[Document]:
    """Yield documents with tokens in memory."""
    lengths = store.lengths()
    total, done = 4 * int(lengths[numbers].sum()), 0
    for run, tokens in _read_ahead(_runs(store, numbers)):
        edges = np.cumsum([0, *lengths[run.numbers]])
        if len(tokens) != edges[-1]:
            raise OSError(f"{run.place.path} was cut short while documents were copied from it")
        for number, start, end in zip(run.numbers, edges[:-1], edges[1:], strict=True):
            yield replace(store.document(number), input_ids=tokens[start:end])
        done += tokens.nbytes
        report(done, total)


def _runs(store: TokenStore, numbers: np.ndarray) -> Iterator[_Run]:
    """Yield the documents in runs of neighbours of one file."""
    run: list[int] = []
    place: Extent | None = None
    for number in numbers.tolist():
        following = store.extent(number)
        if (
            place
            and place.path == following.path
            and place.end == following.start
            and len(run) < _RUN_DOCUMENTS
        ):
            run.append(number)
            place = replace(place, end=following.end)
            continue
        if place:
            yield _Run(run, place)
        run, place = [number], following
    if place:
        yield _Run(run, place)


def _read_ahead(runs: Iterable[_Run]) -> Iterator[tuple[_Run, np.ndarray]]:
    """Yield runs with their tokens, int32, in order, while the next ones are read."""
    with ThreadPoolExecutor(_READERS) as pool:
        for path, of_file in groupby(runs, lambda run: run.place.path):
            with path.open("rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                under_way: deque[tuple[_Run, Future[np.ndarray]]] = deque()
                for run in of_file:
                    under_way.append((run, pool.submit(_read, file.fileno(), run.place)))
                    if len(under_way) > 2 * _READERS:
                        yield _ready(under_way)
                while under_way:
                    yield _ready(under_way)


def _ready(under_way: deque[tuple[_Run, Future[np.ndarray]]]) -> tuple[_Run, np.ndarray]:
    run, read = under_way.popleft()
    return run, read.result()


def _read(descriptor: int, place: Extent) -> np.ndarray:
    content = os.pread(descriptor, place.end - place.start, place.start)
    return np.frombuffer(content, np.int32, count=len(content) // 4)
