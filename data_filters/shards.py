"""What a task leaves behind: its rows as they will stand in the output, and an index for the passes over all rows.

    shards/<name of the input>/00003/
      kept.jsonl  rejected.jsonl  verdicts.jsonl    lines that the merge copies
      pending.jsonl    rows that other rows decide on (majority), with all that is known of them
      index.bin        one record for each kept or pending row: where its lines stand, and its digests
      signatures.bin   the MinHash signature of each of these rows, where near duplicates are looked for
      figures.json     the shard's figures, without those of pending rows

The folder appears whole or not at all.
"""

from __future__ import annotations

import secrets
import shutil
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from data_filters.figures import FilterFigures
from data_filters.files import ASIDE_SUFFIX, sync
from data_filters.judged import JudgedRow, rejected_record
from data_filters.samples import Sample

KEPT, REJECTED, VERDICTS, PENDING = "kept.jsonl", "rejected.jsonl", "verdicts.jsonl", "pending.jsonl"
INDEX, SIGNATURES, FIGURES = "index.bin", "signatures.bin", "figures.json"

_RECORD = struct.Struct("<QQQQQ16s16sQ")
RECORD_TYPE = np.dtype(
    [
        ("number", "<u8"),  # the row's place among all rows of the run
        ("line_at", "<u8"),  # where its own line begins, in kept.jsonl or pending.jsonl
        ("kept_at", "<u8"),  # where it stands, or would stand, in kept.jsonl
        ("rejected_at", "<u8"),  # the same in rejected.jsonl
        ("verdict_at", "<u8"),  # where its line begins in verdicts.jsonl
        ("duplicate", "<u8", (2,)),  # digest of what exact duplicates have in common
        ("prompt", "<u8", (2,)),  # digest of the prompt, where a majority is asked for
        ("pending", "<u8"),  # 1 for a pending row
    ]
)
"""A record of index.bin."""

SIGNATURE_TYPE = np.dtype("<u4")

_OPEN_SHARDS = 32


def shard_folder(shards: Path, task: int) -> Path:
    """Where the shard of a task lies."""
    return shards / f"{task:05d}"


class ShardWriter:
    """The open files of one shard."""

    def __init__(self, folder: Path, first_number: int, synthetic: frozenset[str], files: ExitStack) -> None:
        self._number = first_number
        self._synthetic = synthetic
        self.figures = FilterFigures()
        self._encoder = msgspec.json.Encoder()

        def opened(name: str) -> IO[bytes]:
            return files.enter_context((folder / name).open("wb", buffering=1 << 18))

        self._kept, self._rejected, self._verdicts, self._pending = map(
            opened, (KEPT, REJECTED, VERDICTS, PENDING)
        )
        self._index, self._signatures, self._figures_file = map(opened, (INDEX, SIGNATURES, FIGURES))
        self._at = {KEPT: 0, REJECTED: 0, VERDICTS: 0, PENDING: 0}

    def add(
        self,
        judged: JudgedRow,
        duplicate: bytes = bytes(16),
        prompt: bytes = bytes(16),
        signature: bytes = b"",
    ) -> None:
        """Write the next row; digests and signature are those of a row that is kept or pending."""
        if judged.kept or judged.pending:
            self._add_record(judged.pending, duplicate, prompt)
            self._signatures.write(signature)
        if judged.pending:
            self._write(self._pending, PENDING, judged)
        else:
            if judged.kept:
                self._write(self._kept, KEPT, judged.sample)
            else:
                self._write(self._rejected, REJECTED, rejected_record(judged))
            self.figures.add_row(judged, judged.source in self._synthetic)
        self._write(self._verdicts, VERDICTS, judged.verdict)
        self._number += 1

    def finish(self) -> None:
        """Write what is known only at the end."""
        self._figures_file.write(self._encoder.encode(self.figures))

    def _add_record(self, pending: bool, duplicate: bytes, prompt: bytes) -> None:
        at = self._at
        line_at = at[PENDING] if pending else at[KEPT]
        self._index.write(
            _RECORD.pack(
                self._number, line_at, at[KEPT], at[REJECTED], at[VERDICTS], duplicate, prompt, pending
            )
        )

    def _write(self, file: IO[bytes], name: str, value: Any) -> None:
        line = self._encoder.encode(value) + b"\n"
        self._at[name] += len(line)
        file.write(line)


@contextmanager
def written_shard(
    shards: Path, task: int, first_number: int, synthetic: frozenset[str]
) -> Iterator[ShardWriter]:
    """Write the shard of a task beside its place and move it there in the end; after an error nothing is left."""
    folder = shard_folder(shards, task)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}{ASIDE_SUFFIX}")
    aside.mkdir(parents=True)
    try:
        with ExitStack() as files:
            writer = ShardWriter(aside, first_number, synthetic, files)
            yield writer
            writer.finish()
        for file in aside.iterdir():
            sync(file)
        sync(aside)
        try:
            aside.rename(folder)
        except OSError:
            # A worker that outlived a killed run was quicker; its rows are the same.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    sync(folder.parent)


def remove_asides(shards: Path) -> None:
    """Remove what killed tasks left. Nobody may be writing shards."""
    for aside in shards.glob(f".*{ASIDE_SUFFIX}"):
        if aside.is_dir():
            shutil.rmtree(aside)


@dataclass(frozen=True)
class Shards:
    """The finished shards of all tasks."""

    folder: Path
    starts: list[int]
    """Number of each task's first row among all rows; one more entry holds the number of all rows."""

    @property
    def tasks(self) -> range:
        """The numbers of the tasks, in the order of their rows."""
        return range(len(self.starts) - 1)

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return self.starts[-1]

    def shard(self, task: int) -> Path:
        """The folder of a task's shard."""
        return shard_folder(self.folder, task)

    def index(self, task: int) -> np.ndarray:
        """The records of a shard, in the order of their rows."""
        return np.fromfile(self.shard(task) / INDEX, dtype=RECORD_TYPE)

    def signatures(self, task: int, rows: int) -> np.ndarray:
        """The signatures of a shard: one row for each of the `rows` records of its index."""
        numbers = np.fromfile(self.shard(task) / SIGNATURES, dtype=SIGNATURE_TYPE)
        return numbers.reshape(rows, len(numbers) // max(rows, 1))

    def figures(self, task: int) -> FilterFigures:
        """The figures of a shard."""
        return msgspec.json.decode((self.shard(task) / FIGURES).read_bytes(), type=FilterFigures)

    def task_of(self, number: int) -> int:
        """The task of a row."""
        # The last that begins at or before the row: tasks without rows begin where the next one does.
        return bisect_right(self.starts, number) - 1

    def tasks_of(self, numbers: np.ndarray) -> np.ndarray:
        """The task of each row."""
        return np.searchsorted(np.asarray(self.starts, dtype=np.uint64), numbers, side="right") - 1


class RowLookup:
    """Kept and pending rows of all shards by their numbers; a few shards are open at a time."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()

    def sample(self, number: int) -> Sample:
        """The sample of a kept or pending row."""
        task = self._shards.task_of(number)
        shard = self._open.pop(task, None) or _OpenShard(self._shards.shard(task))
        self._open[task] = shard
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)[1].close()
        return shard.sample(number)

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()


class _OpenShard:
    def __init__(self, folder: Path) -> None:
        self._index = np.memmap(folder / INDEX, dtype=RECORD_TYPE, mode="r")
        self._kept = (folder / KEPT).open("rb")
        self._pending = (folder / PENDING).open("rb")
        self._sample = msgspec.json.Decoder(Sample)
        self._judged = msgspec.json.Decoder(JudgedRow)

    def sample(self, number: int) -> Sample:
        record = self._index[np.searchsorted(self._index["number"], np.uint64(number))]
        assert record["number"] == number, f"row {number} is neither kept nor pending"
        file = self._pending if record["pending"] else self._kept
        file.seek(int(record["line_at"]))
        line = file.readline()
        if not record["pending"]:
            return self._sample.decode(line)
        sample = self._judged.decode(line).sample
        assert sample is not None, "only samples are pending"
        return sample

    def close(self) -> None:
        self._kept.close()
        self._pending.close()
