"""The files of kept and rejected rows, as JSON lines or as Parquet: written by the merge, read by later stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import msgspec

from data_filters.errors import UserError
from data_filters.files import copy_bytes, read_jsonl, write_atomically
from data_filters.parquet import read_parquet, rejected_columns, sample_columns
from data_filters.row_fields import RowError
from data_filters.samples import Sample, Verdict
from data_filters.segments import Segment, read_segment

Form = Literal["jsonl", "parquet"]

KEPT, REJECTED = "kept", "rejected"
VERDICTS_FILE = "verdicts.jsonl"
FIGURES_FILE = "figures.json"
OUTPUT_FILES = (
    *(f"{name}.{form}" for name in (KEPT, REJECTED) for form in ("jsonl", "parquet")),
    VERDICTS_FILE,
    FIGURES_FILE,
)
"""Every file that a filter may leave in its folder."""

_GROUP_ROWS = 2000
_GROUP_BYTES = 16 << 20
"""A row group of a Parquet file is written when it has so many rows or bytes."""


class RowsOutput(Protocol):
    """A file of rows that is being written."""

    def copy(self, lines: IO[bytes], stop: int | None) -> None:
        """Write the lines of a file from where it stands up to byte `stop`, or to its end."""

    def write(self, line: bytes) -> None:
        """Write one line of JSON, its line end with it."""


@contextmanager
def kept_output(folder: Path, form: Form) -> Iterator[RowsOutput]:
    """Write the kept samples; the file appears whole or not at all."""
    with write_atomically(folder / f"{KEPT}.{form}", "wb") as file:
        if form == "jsonl":
            yield _LinesOutput(file)
        else:
            decoder = msgspec.json.Decoder(Sample)
            with _ParquetOutput(file, lambda lines: sample_columns(list(map(decoder.decode, lines)))) as out:
                yield out


@contextmanager
def rejected_output(folder: Path, form: Form) -> Iterator[RowsOutput]:
    """Write the rejected rows with their verdicts; the file appears whole or not at all."""
    with write_atomically(folder / f"{REJECTED}.{form}", "wb") as file:
        if form == "jsonl":
            yield _LinesOutput(file)
        else:
            decoder = msgspec.json.Decoder()
            with _ParquetOutput(
                file, lambda lines: rejected_columns(list(map(decoder.decode, lines)))
            ) as out:
                yield out


def kept_file(folder: Path) -> Path:
    """Return the file of kept samples in a filter's folder, whatever its form."""
    parquet = folder / f"{KEPT}.parquet"
    return parquet if parquet.is_file() else folder / f"{KEPT}.jsonl"


def read_kept(folder: Path) -> Iterator[Sample]:
    """Yield the kept samples of a filter's folder, whatever their form."""
    file = kept_file(folder)
    rows = read_parquet(file) if file.suffix == ".parquet" else read_jsonl(file)
    return (msgspec.convert(row, Sample) for row in rows)


def read_kept_segment(segment: Segment) -> Iterator[tuple[int, Sample]]:
    """Yield (number of the row, sample) for each row of a part of the file of kept samples.

    Raises UserError when the file is damaged.
    """
    for number, row in read_segment(segment):
        if isinstance(row, RowError):
            raise UserError(f"{row}; run filter again")
        yield number, msgspec.convert(row, Sample)


def read_rejected(folder: Path) -> Iterator[tuple[Sample, Verdict]]:
    """Yield the rejected rows of a filter's folder that could be read as samples, with their verdicts."""
    parquet = folder / f"{REJECTED}.parquet"
    rows = _rejected_columns_read(parquet) if parquet.is_file() else read_jsonl(folder / f"{REJECTED}.jsonl")
    for row in rows:
        if row.get("sample") is not None:
            yield msgspec.convert(row["sample"], Sample), msgspec.convert(row["verdict"], Verdict)


def _rejected_columns_read(file: Path) -> Iterator[dict[str, Any]]:
    for row in read_parquet(file):
        assert isinstance(row, dict), "texts that we wrote are UTF-8"
        yield row | {
            name: msgspec.json.decode(row[name])
            for name in ("sample", "row", "verdict")
            if row[name] is not None
        }


class _LinesOutput:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def copy(self, lines: IO[bytes], stop: int | None) -> None:
        copy_bytes(lines, stop, self._file)

    def write(self, line: bytes) -> None:
        self._file.write(line)


class _ParquetOutput:
    """Collects lines and writes them as row groups."""

    def __init__(self, file: IO[bytes], columns: Callable[[list[bytes]], Any]) -> None:
        import pyarrow.parquet

        self._columns = columns
        self._lines: list[bytes] = []
        self._bytes = 0
        self._writer = pyarrow.parquet.ParquetWriter(file, columns([]).schema, compression="zstd")

    def __enter__(self) -> _ParquetOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def copy(self, lines: IO[bytes], stop: int | None) -> None:
        while (stop is None or lines.tell() < stop) and (line := lines.readline()):
            self.write(line)

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._lines:
            self._writer.write_table(self._columns(self._lines))
            self._lines, self._bytes = [], 0
