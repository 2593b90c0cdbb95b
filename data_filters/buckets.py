"""Records sorted into files, so that what belongs together can be looked at one file at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RECORDS_PER_BUCKET = 1 << 18
"""Records that are in memory at a time, more only where more of them have one key."""

PAIR_TYPE = np.dtype([("number", "<u8"), ("first", "<u8")])
"""A row, and an earlier one that it is like."""


class Buckets:
    """Files of records of one type, by number of bucket."""

    def __init__(self, folder: Path, record_type: Any, count: int) -> None:
        folder.mkdir(parents=True)
        self.count = count
        self._folder = folder
        self._type = np.dtype(record_type)

    @classmethod
    def for_keys(cls, folder: Path, record_type: Any, records: int) -> Buckets:
        """As many buckets as keep each of them small, for `records` records in all."""
        return cls(folder, record_type, max(1, -(-records // RECORDS_PER_BUCKET)))

    def add(self, records: np.ndarray, buckets: np.ndarray) -> None:
        """Add each record to the bucket whose number stands beside it, in the order given."""
        order = np.argsort(buckets, kind="stable")
        edges = np.searchsorted(buckets[order], np.arange(self.count + 1))
        for bucket in np.flatnonzero(edges[1:] > edges[:-1]):
            with self._file(int(bucket)).open("ab") as file:
                records[order[edges[bucket] : edges[bucket + 1]]].tofile(file)

    def add_by_key(self, records: np.ndarray, keys: np.ndarray) -> None:
        """Add records to the bucket that their keys, evenly spread 64-bit numbers, choose."""
        self.add(records, (keys % np.uint64(self.count)).astype(np.int64))

    def read(self, bucket: int) -> np.ndarray:
        """The records of one bucket, in the order in which they were added."""
        file = self._file(bucket)
        return np.fromfile(file, dtype=self._type) if file.is_file() else np.empty(0, self._type)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the records of each bucket."""
        return (self.read(bucket) for bucket in range(self.count))

    def _file(self, bucket: int) -> Path:
        return self._folder / f"{bucket:05d}.bin"
