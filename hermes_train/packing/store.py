"""The token store: documents written once, as one Arrow file that is mapped into memory, never loaded.

Packs are an index over it: `index.npz` with `order` (document numbers, pack after pack) and `starts` (where each pack
starts in `order`). One row of the store:

    {"id": "gsm8k/17", "source": "gsm8k", "mode": "think", "input_ids": [1, 9690, ...], "spans": [24, 61]}

`spans` is the flattened (n, 2) array of the token ranges that carry loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_filters.files import write_atomically
from data_filters.samples import Mode
from hermes_train.chat.labels import Document, labels_from_spans

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("mode", pa.string()),
        ("input_ids", pa.large_list(pa.int32())),
        ("spans", pa.list_(pa.int32())),
    ]
)
_BATCH = 1000


def write_store(path: Path, documents: Iterable[Document]) -> int:
    """Write the documents, whole or not at all. Returns their number."""
    count = 0
    with write_atomically(path, "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for batch in _batches(documents):
            count += len(batch)
            columns = [
                pa.array([document.id for document in batch]),
                pa.array([document.source for document in batch]),
                pa.array([str(document.mode) for document in batch]),
                pa.array([document.input_ids for document in batch], SCHEMA.field("input_ids").type),
                pa.array([document.spans.reshape(-1) for document in batch], SCHEMA.field("spans").type),
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    return count


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class TokenStore:
    """Read access to a store by document number; pages are read from disk as they are touched."""

    def __init__(self, path: Path) -> None:
        self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        self._input_ids = self._table.column("input_ids")
        self._spans = self._table.column("spans")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def lengths(self) -> np.ndarray:
        """Return the number of tokens of each document, int64."""
        return (
            self._input_ids.combine_chunks().value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        )

    def identities(self) -> list[str]:
        """Return the id of each document."""
        return list(self._table.column("id").to_pylist())

    def modes(self) -> list[Mode]:
        """Return the mode of each document."""
        return [Mode(mode) for mode in self._table.column("mode").to_pylist()]

    def sources(self) -> list[str]:
        """Return the source of each document."""
        return list(self._table.column("source").to_pylist())

    def label_tokens(self) -> np.ndarray:
        """Return how many tokens of each document carry loss, int64."""
        return np.asarray([int((ends - starts).sum()) for starts, ends in self._span_edges()], np.int64)

    def _span_edges(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(len(self)):
            spans = self.spans(number)
            yield spans[:, 0], spans[:, 1]

    def input_ids(self, number: int) -> np.ndarray:
        """Return the tokens of one document, int32."""
        return np.asarray(self._input_ids[number].values.to_numpy(), np.int32)

    def spans(self, number: int) -> np.ndarray:
        """Return the (n, 2) token ranges of one document that carry loss, int32."""
        return np.asarray(self._spans[number].values.to_numpy(), np.int32).reshape(-1, 2)

    def labels(self, number: int) -> np.ndarray:
        """Return the labels of one document, int32."""
        return labels_from_spans(self.input_ids(number), self.spans(number))


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
