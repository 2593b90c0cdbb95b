"""Rows out of a source: files, a Hub data set, or a program. One bad line is one rejection, never a crash."""

from __future__ import annotations

import glob
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from data_filters.errors import UserError
from data_filters.files import open_lines
from data_filters.formats import RowError
from data_filters.settings import Source

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")

_LINE_LIMIT = 64 * 1024 * 1024
"""A longer line is no row but a damaged file; reading it whole could take all memory."""

_SHOWN_CHARACTERS = 2000
"""How much of an unreadable line is kept with its rejection."""

RawRow = dict[str, Any] | RowError
_Undecoded = tuple[bytes, str]


def source_files(source: Source) -> list[Path]:
    """The files of a source with a path, sorted; none for other sources.

    Raises UserError when nothing is there or a suffix is not known.
    """
    if source.path is None:
        return []
    files = _matching_files(source.path) if glob.has_magic(source.path) else [Path(source.path)]
    if not files:
        raise UserError(f"source {source.name!r}: no file matches {source.path}; correct the path")
    for file in files:
        _require_readable(file, source.name)
    return files


def read_rows(source: Source, task: int = 0, tasks: int = 1) -> Iterator[tuple[int, RawRow]]:
    """Yield (number, row) for each row of the source whose number modulo `tasks` is `task`.

    Numbers count the source's rows from 0 through all its files; blank lines are not rows. A line that cannot
    be read comes as a RowError in place of the row. Memory stays constant except for .json files, which are
    one value. Raises UserError for a missing or damaged file, and when the source has no row at all.
    """
    count = 0
    for number, raw in enumerate(_undecoded_rows(source)):
        if source.rows is not None and number >= source.rows:
            break
        count += 1
        if number % tasks == task:
            yield number, _decode(*raw) if isinstance(raw, tuple) else _as_row(raw)
    if count == 0:
        raise UserError(f"source {source.name!r} has no rows: {origin(source)} is empty")


def origin(source: Source) -> str:
    """Where a source's rows come from, for messages."""
    return source.path or source.hub or f"synthetic {source.synthetic}"


def _matching_files(pattern: str) -> list[Path]:
    # Path.glob takes no absolute patterns.
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    return [path for path in map(Path, found) if path.is_file()]


def _require_readable(file: Path, name: str) -> None:
    if not file.is_file():
        raise UserError(f"source {name!r}: there is no file {file}; correct the path")
    if not file.name.endswith(SUFFIXES):
        raise UserError(f"source {name!r}: {file} has none of the suffixes {', '.join(SUFFIXES)}")


def _undecoded_rows(source: Source) -> Iterator[_Undecoded | Any]:
    if source.hub is not None:
        yield from _hub_rows(source)
    elif source.synthetic is not None:
        yield from _synthetic_rows(source)
    else:
        for file in source_files(source):
            yield from _file_rows(file)


def _file_rows(file: Path) -> Iterator[_Undecoded | Any]:
    if file.name.endswith(".parquet"):
        yield from _parquet_rows(file)
    elif file.name.endswith((".json", ".json.gz")) and _first_character(file) == b"[":
        yield from _array_rows(file)
    else:
        yield from _line_rows(file)


def _line_rows(file: Path) -> Iterator[_Undecoded]:
    try:
        with open_lines(file) as lines:
            number = 0
            while line := lines.readline(_LINE_LIMIT):
                number += 1
                if line.strip():
                    yield line, f"line {number} of {file}"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{file} is damaged ({error}); fetch it again") from error


def _first_character(file: Path) -> bytes:
    try:
        with open_lines(file) as lines:
            return lines.read(4096).lstrip()[:1]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{file} is damaged ({error}); fetch it again") from error


def _array_rows(file: Path) -> Iterator[Any]:
    try:
        with open_lines(file) as lines:
            yield from msgspec.json.decode(lines.read(), type=list[Any])
    except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no JSON list ({error}); mend it or fetch it again") from error


def _parquet_rows(file: Path) -> Iterator[Any]:
    import pyarrow.parquet
    from pyarrow import ArrowInvalid

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{file} is no readable Parquet file ({error}); fetch it again") from error


def _hub_rows(source: Source) -> Iterable[Any]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    assert source.hub is not None
    try:
        rows: Iterable[Any] = load_dataset(source.hub, split=source.split, revision=source.revision)
        return rows
    except (DatasetNotFoundError, ConnectionError, ValueError) as error:
        raise UserError(
            f"source {source.name!r}: cannot open {source.hub} split {source.split}: {error}"
        ) from error


def _synthetic_rows(source: Source) -> Iterator[Any]:
    from data_filters.synthetic import rows

    assert source.synthetic is not None and source.rows is not None
    return rows(source.synthetic, source.rows, source.seed, source.mode, source.faults)


def _decode(line: bytes, place: str) -> RawRow:
    """Decode one line; the place goes into the detail of what is wrong with it."""
    try:
        return _as_row(msgspec.json.decode(line), place)
    except msgspec.DecodeError as error:
        reason = "row_truncated" if "truncated" in str(error) else "row_not_json"
        return RowError(reason, f"{place}: {error}", _shown(line))
    except (UnicodeDecodeError, RecursionError) as error:
        return RowError("row_not_json", f"{place}: {error}", _shown(line))


def _as_row(value: Any, place: str = "") -> RawRow:
    if isinstance(value, dict):
        return value
    where = f"{place}: " if place else ""
    return RowError("row_not_object", f"{where}a row is a JSON object", str(value)[:_SHOWN_CHARACTERS])


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")[:_SHOWN_CHARACTERS]
