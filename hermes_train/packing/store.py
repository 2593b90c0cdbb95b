"""The token store: documents written once, in shards that are mapped into memory and never loaded.

documents-00003.arrow, .json   the shards (`shards.py`)
columns.arrow   what is small of all documents, in one batch: hash, source, mode, tokens, label_tokens
store.json      the shards by size, and the names of the sources; written last: a store is whole or not there
numbers.npy     only where the shards have some of the documents (`store_copy.py`): their numbers, int64, ascending
index.npz       the packs: `order` (document numbers, pack after pack), `starts` (where each begins)
held_out.npz    the same of the documents that are not trained, where the recipe holds some out
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from data_filters.errors import UserError
from data_filters.files import write_atomically
from data_filters.samples import Mode
from hermes_train.chat.labels import Document, labels_from_spans
from hermes_train.packing.mixture import MODES, Stock
from hermes_train.packing.shards import (
    BATCH_DOCUMENTS,
    SMALL_COLUMNS,
    RowCounts,
    ShardFacts,
    added_up,
    damaged,
    identity_hash,
    is_whole,
    map_batches,
    map_file,
    require_shard,
    shard_path,
    write_shard,
)

COLUMNS_FILE, STORE_FILE, NUMBERS_FILE = "columns.arrow", "store.json", "numbers.npy"


class StoreFacts(msgspec.Struct, frozen=True):
    """`store.json`."""

    shards: list[ShardFacts]
    sources: list[str]
    """The names of all sources, by their codes in `columns.arrow`."""


def seal_store(folder: Path, shards: int) -> TokenStore:
    """Put the small columns of all shards together and declare the store whole. Returns it, open.

    Raises UserError when a shard is missing or cut short.
    """
    facts = [require_shard(folder, number) for number in range(shards)]
    sources: dict[str, int] = {}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in SMALL_COLUMNS.names}
    for number, shard in enumerate(facts):
        codes = np.asarray([sources.setdefault(name, len(sources)) for name in shard.sources], np.int16)
        for batch in map_batches(shard_path(folder, number)):
            for name, parts in columns.items():
                values = batch.column(name).to_numpy()
                # A copy: what stays must not hold the shard's pages.
                parts.append(codes[values] if name == "source" else values.copy())
    arrays = [
        pa.array(np.concatenate(parts) if parts else np.empty(0), SMALL_COLUMNS.field(name).type)
        for name, parts in columns.items()
    ]
    with (
        write_atomically(folder / COLUMNS_FILE, "wb") as file,
        pa.ipc.new_file(file, SMALL_COLUMNS) as writer,
    ):
        writer.write_batch(pa.record_batch(arrays, schema=SMALL_COLUMNS))
    with write_atomically(folder / STORE_FILE, "wb") as file:
        file.write(msgspec.json.encode(StoreFacts(facts, list(sources))) + b"\n")
    return TokenStore(folder)


def write_store(folder: Path, documents: Iterable[Document]) -> TokenStore:
    """Write a store of one shard. Returns it, open."""
    write_shard(folder, 0, documents)
    return seal_store(folder, 1)


@dataclass(frozen=True)
class _Lists:
    """The lists of one column of a batch, as what lies in memory."""

    values: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, column: pa.ListArray) -> _Lists:
        return cls(column.values.to_numpy(), column.offsets.to_numpy())

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.edges[row] : self.edges[row + 1]]


@dataclass(frozen=True)
class Extent:
    """Where the tokens of a document lie, int32 one after the other: its bytes from `start` up to `end` in `path`."""

    path: Path
    start: int
    end: int


class _Shard:
    """One shard, mapped: its tokens and spans by document."""

    def __init__(self, path: Path, pages_alone: bool) -> None:
        self._path = path
        mapped = map_file(path, pages_alone)
        self._batches, self._address = mapped.batches, mapped.address
        self._input_ids = [_Lists.of(batch.column("input_ids")) for batch in self._batches]
        self._spans = [_Lists.of(batch.column("spans")) for batch in self._batches]

    def input_ids(self, row: int) -> np.ndarray:
        return self._input_ids[row // BATCH_DOCUMENTS][row % BATCH_DOCUMENTS]

    def spans(self, row: int) -> np.ndarray:
        return self._spans[row // BATCH_DOCUMENTS][row % BATCH_DOCUMENTS].reshape(-1, 2)

    def identity(self, row: int) -> str:
        return str(self._batches[row // BATCH_DOCUMENTS].column("id")[row % BATCH_DOCUMENTS])

    def extent(self, row: int) -> Extent:
        tokens = self.input_ids(row)
        start = tokens.ctypes.data - self._address
        return Extent(self._path, start, start + tokens.nbytes)


class TokenStore:
    """Read access to a store by document number, at the same cost wherever the document lies.

    A shard is mapped when a document of it is first asked for; its pages are read from disk as they are touched.
    A copy of a part knows the lengths, modes and so on of all documents, and has the tokens, spans and ids of some.
    """

    def __init__(self, folder: Path, pages_alone: bool = False) -> None:
        """Open the store in `folder`. Raises UserError when it is missing, or a shard is missing or cut short.

        `pages_alone`: a page is read without its neighbours, of which the system otherwise reads megabytes on some
        disks; for who wants few documents.
        """
        self.folder = folder
        self._pages_alone = pages_alone
        facts_file = folder / STORE_FILE
        if not facts_file.is_file():
            raise UserError(f"{folder} holds no token store; run pack first")
        facts = msgspec.json.decode(facts_file.read_bytes(), type=StoreFacts)
        for number, shard in enumerate(facts.shards):
            if not is_whole(shard_path(folder, number), shard):
                raise damaged(folder, number)
        (self._columns,) = map_batches(folder / COLUMNS_FILE)
        self.source_names: Sequence[str] = facts.sources
        """The names of the sources, by their codes."""
        edges = np.cumsum([0, *(shard.documents for shard in facts.shards)])
        self._starts: list[int] = edges[:-1].tolist()
        self._facts = facts
        self._shards: dict[int, _Shard] = {}
        numbers = folder / NUMBERS_FILE
        self._numbers: np.ndarray | None = np.load(numbers, allow_pickle=False) if numbers.exists() else None

    def __reduce__(self) -> tuple[type[TokenStore], tuple[Path, bool]]:
        """Go to another process as a path: tokens are mapped there again, never copied."""
        return TokenStore, (self.folder, self._pages_alone)

    def __len__(self) -> int:
        return int(self._columns.num_rows)

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each document, int64."""
        return self._column("tokens").astype(np.int64)

    def label_tokens(self) -> np.ndarray:
        """Return how many tokens of each document carry loss, int64."""
        return self._column("label_tokens").astype(np.int64)

    def hashes(self) -> np.ndarray:
        """Return the hash of each document's id, uint64."""
        return self._column("hash")

    def modes(self) -> np.ndarray:
        """Return the mode of each document as its place in `mixture.MODES`, int8."""
        return self._column("mode")

    def sources(self) -> np.ndarray:
        """Return the source of each document as its place in `source_names`, int16."""
        return self._column("source")

    def counts(self) -> list[RowCounts]:
        """Return what became of the rows that the store was made from, by source and mode."""
        return added_up(counts for shard in self._facts.shards for counts in shard.counts)

    def file_bytes(self) -> int:
        """Return how large the shards are together."""
        return sum(shard.bytes for shard in self._facts.shards)

    def stock(self) -> Stock:
        """Return the documents as the mixture sees them."""
        return Stock(
            self.hashes(), self.sources(), self.modes(), self._column("tokens"), tuple(self.source_names)
        )

    def identity(self, number: int) -> str:
        """Return the id of one document."""
        shard, row = self._place(number)
        return shard.identity(row)

    def identities(self) -> Iterator[str]:
        """Yield the id of each document."""
        for number in range(len(self._starts)):
            for batch in map_batches(shard_path(self.folder, number)):
                yield from batch.column("id").to_pylist()

    def numbers_of(self, identities: Collection[str]) -> frozenset[int]:
        """Return the numbers of the documents with these ids. Raises UserError when one of them is of no document."""
        if not identities:
            return frozenset()
        hashes = np.fromiter(map(identity_hash, identities), np.uint64, len(identities))
        # A hash may be of several documents; the id decides.
        alike = np.flatnonzero(np.isin(self.hashes(), hashes)).tolist()
        found = {number: self.identity(number) for number in alike}
        if missing := sorted(set(identities) - set(found.values())):
            raise UserError(
                f"{self.folder} has no document with the id {missing[0]!r} ({len(missing)} of {len(identities)} ids are"
                " unknown there); give ids as this run's stopped_at_step_<n>.json has them"
            )
        return frozenset(number for number, identity in found.items() if identity in identities)

    def input_ids(self, number: int) -> np.ndarray:
        """Return the tokens of one document, int32; a view of the file."""
        shard, row = self._place(number)
        return shard.input_ids(row)

    def extent(self, number: int) -> Extent:
        """Return where the tokens of one document lie on disk; they are not read."""
        shard, row = self._place(number)
        return shard.extent(row)

    def spans(self, number: int) -> np.ndarray:
        """Return the (n, 2) token ranges of one document that carry loss, int32; a view of the file."""
        shard, row = self._place(number)
        return shard.spans(row)

    def labels(self, number: int) -> np.ndarray:
        """Return the labels of one document, int32."""
        shard, row = self._place(number)
        return labels_from_spans(shard.input_ids(row), shard.spans(row))

    def document(self, number: int) -> Document:
        """Return one document as it was written."""
        shard, row = self._place(number)
        source = self.source_names[self._column("source")[number]]
        mode: Mode = MODES[self._column("mode")[number]]
        return Document(shard.identity(row), source, mode, shard.input_ids(row), shard.spans(row))

    def documents(self, numbers: Iterable[int]) -> Iterator[Document]:
        """Yield documents as they were written."""
        return (self.document(number) for number in numbers)

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self._columns.column(name).to_numpy())

    def _place(self, number: int) -> tuple[_Shard, int]:
        if not 0 <= number < len(self):
            raise IndexError(f"the store has {len(self)} documents; there is no document {number}")
        if self._numbers is not None:
            place = int(np.searchsorted(self._numbers, number))
            if place == len(self._numbers) or self._numbers[place] != number:
                raise LookupError(f"{self.folder} is a copy of a part of a store, without document {number}")
            number = place
        # The last shard that begins at or before the document: an empty one begins where the next does.
        shard = bisect_right(self._starts, number) - 1
        if shard not in self._shards:
            self._shards[shard] = _Shard(shard_path(self.folder, shard), self._pages_alone)
        return self._shards[shard], number - self._starts[shard]


@dataclass(frozen=True)
class PackIndex:
    """Which documents lie in which pack. `length` is the capacity in tokens."""

    order: np.ndarray
    starts: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def documents(self, pack: int) -> np.ndarray:
        """Return the document numbers of one pack."""
        end = self.starts[pack + 1] if pack + 1 < len(self.starts) else len(self.order)
        return self.order[self.starts[pack] : end]

    def save(self, path: Path) -> None:
        """Write the index, whole or not at all."""
        with write_atomically(path, "wb") as file:
            np.savez(file, order=self.order, starts=self.starts, length=np.int64(self.length))

    @classmethod
    def load(cls, path: Path) -> PackIndex:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["order"], arrays["starts"], int(arrays["length"]))
