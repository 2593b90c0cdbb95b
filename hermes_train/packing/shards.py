"""The shards of a token store: documents as Arrow files, each whole or not there.

    documents-00003.arrow   tokens and labels, 512 documents to a batch
    documents-00003.json    its size, its sources and what became of its rows; written just before the shard appears

One row of a shard:

    {"id": "gsm8k/17", "hash": 1234567890123, "source": 0, "mode": 1, "tokens": 71, "label_tokens": 37,
     "input_ids": [1, 9690, ...], "spans": [24, 61]}

`hash` is that of the id, `source` a place in the shard's list of sources, `mode` one in `mixture.MODES`, and `spans`
the flattened (n, 2) array of the token ranges that carry loss.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from data_filters.errors import UserError
from data_filters.files import write_atomically
from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.mixture import MODES

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_SMALL = [
    ("hash", pa.uint64()),
    ("source", pa.int16()),
    ("mode", pa.int8()),
    ("tokens", pa.int32()),
    ("label_tokens", pa.int32()),
]
SMALL_COLUMNS = pa.schema(_SMALL)
SCHEMA = pa.schema(
    [("id", pa.string()), *_SMALL, ("input_ids", pa.list_(pa.int32())), ("spans", pa.list_(pa.int32()))]
)
BATCH_DOCUMENTS = 512
"""Documents in each batch of a shard but the last: a document's batch is a division away."""


class RowCounts(msgspec.Struct):
    """What became of the rows of one source in one mode; documents that became none are counted by reason."""

    name: str
    mode: Mode
    rows: int = 0
    documents: int = 0
    tokens: int = 0
    label_tokens: int = 0
    dropped: dict[str, int] = {}


class ShardFacts(msgspec.Struct, frozen=True):
    """What is known of a shard without opening it."""

    bytes: int
    documents: int
    sources: list[str]
    """The names of its sources, by their codes in the shard."""
    counts: list[RowCounts] = []


def added_up(parts: Iterable[RowCounts]) -> list[RowCounts]:
    """Return the sums by source and mode, in the order of their names."""
    sums: dict[tuple[str, Mode], RowCounts] = {}
    for part in parts:
        whole = sums.setdefault((part.name, part.mode), RowCounts(part.name, part.mode, dropped={}))
        whole.rows += part.rows
        whole.documents += part.documents
        whole.tokens += part.tokens
        whole.label_tokens += part.label_tokens
        for reason, number in part.dropped.items():
            whole.dropped[reason] = whole.dropped.get(reason, 0) + number
    return [sums[key] for key in sorted(sums)]


def identity_hash(identity: str) -> int:
    """Return 64 bits that stand for a document's id wherever something is drawn."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard lies."""
    return folder / f"documents-{number:05d}.arrow"


def facts_path(folder: Path, number: int) -> Path:
    """Return where the facts of a shard lie."""
    return shard_path(folder, number).with_suffix(".json")


def write_shard(
    folder: Path,
    number: int,
    documents: Iterable[Document],
    counts: Callable[[], list[RowCounts]] = list,
) -> ShardFacts:
    """Write one shard, whole or not at all: the same documents give the same bytes. Returns its facts.

    `counts` is asked for what became of the rows when the last document is written.
    """
    sources: dict[str, int] = {}
    count = 0
    remaining = iter(documents)
    with write_atomically(shard_path(folder, number), "wb") as file:
        with pa.ipc.new_file(file, SCHEMA) as writer:
            while batch := list(islice(remaining, BATCH_DOCUMENTS)):
                count += len(batch)
                writer.write_batch(_record_batch(batch, sources))
        facts = ShardFacts(file.tell(), count, list(sources), counts())
        with write_atomically(facts_path(folder, number), "wb") as beside:
            beside.write(msgspec.json.encode(facts) + b"\n")
    return facts


def _record_batch(batch: Sequence[Document], sources: dict[str, int]) -> pa.RecordBatch:
    codes = [sources.setdefault(document.source, len(sources)) for document in batch]
    columns = {
        "id": [document.id for document in batch],
        "hash": [identity_hash(document.id) for document in batch],
        "source": codes,
        "mode": [MODES.index(document.mode) for document in batch],
        "tokens": [len(document.input_ids) for document in batch],
        "label_tokens": [document.label_tokens for document in batch],
        "input_ids": _lists([document.input_ids for document in batch]),
        "spans": _lists([document.spans.reshape(-1) for document in batch]),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _lists(arrays: Sequence[np.ndarray]) -> pa.ListArray:
    edges = np.zeros(len(arrays) + 1, np.int32)
    np.cumsum([len(array) for array in arrays], out=edges[1:])
    return pa.ListArray.from_arrays(edges, np.concatenate(arrays).astype(np.int32, copy=False))


def finished_shard(folder: Path, number: int) -> ShardFacts | None:
    """Return the facts of a shard that is there and as long as it was written; None for any other."""
    file = facts_path(folder, number)
    if not file.is_file():
        return None
    try:
        facts = msgspec.json.decode(file.read_bytes(), type=ShardFacts)
    except msgspec.DecodeError:
        return None
    return facts if is_whole(shard_path(folder, number), facts) else None


def is_whole(shard: Path, facts: ShardFacts) -> bool:
    """Whether a shard is there and as long as it was written."""
    return shard.is_file() and shard.stat().st_size == facts.bytes


def require_shard(folder: Path, number: int) -> ShardFacts:
    """Return the facts of a shard. Raises UserError when it is missing or cut short."""
    facts = finished_shard(folder, number)
    if facts is None:
        raise damaged(folder, number)
    return facts


def damaged(folder: Path, number: int) -> UserError:
    """Return the error that tells of a shard that is missing or cut short."""
    return UserError(
        f"{shard_path(folder, number)} is missing or cut short; remove {folder.parent / 'manifest.json'} and run pack "
        "again: only what is damaged is made anew"
    )


@dataclass(frozen=True)
class MappedFile:
    """A file of batches in memory; its pages are read when they are touched."""

    batches: list[pa.RecordBatch]
    address: int
    """Where the first byte of the file is."""


def map_file(path: Path, pages_alone: bool = False) -> MappedFile:
    """Map a file of batches; `pages_alone` as TokenStore has it."""
    # The mapping lives as long as its batches; the file itself can be closed, and a store may have a thousand.
    with pa.memory_map(str(path)) as file:
        first, size = file.read_buffer(1), file.size()
    # Batches read from the file itself would make Arrow ask the system for all of their pages at once: every node would
    # read the whole store.
    whole = pa.foreign_buffer(first.address, size, base=first)
    if pages_alone and _LIBC.madvise(first.address, size, mmap.MADV_RANDOM):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    reader = pa.ipc.open_file(pa.BufferReader(whole))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return MappedFile(batches, first.address)


def map_batches(path: Path) -> list[pa.RecordBatch]:
    """Return the batches of a file, mapped."""
    return map_file(path).batches
