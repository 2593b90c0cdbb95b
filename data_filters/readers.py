"""Rows out of a source: files, a Hub data set, or a program. One bad line is one rejection, never a crash."""

from __future__ import annotations

import codecs
import glob
import gzip
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from data_filters.errors import UserError
from data_filters.files import damage_told, open_lines
from data_filters.parquet import RawRow, read_parquet, with_json_columns_read
from data_filters.row_fields import RowError
from data_filters.settings import Source

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".json.zst", ".parquet")

LINE_LIMIT = 64 * 1024 * 1024
"""A longer line is no row but a damaged file; reading it whole could take all memory."""

_SHOWN_CHARACTERS = 2000
"""How much of an unreadable line is kept with its rejection."""

_ARRAY_CHARACTERS = 1 << 20
_BLANKS = " \t\r\n"


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


def read_rows(source: Source) -> Iterator[tuple[int, RawRow]]:
    """Yield (number, row) for each row of the source, up to its limit `rows`.

    Numbers count the source's rows from 0 through all its files; blank lines are not rows. A line that cannot
    be read comes as a RowError in place of the row. One row is in memory at a time. Raises UserError for a
    missing or damaged file, and when the source has no row at all.
    """
    count = 0
    for number, row in enumerate(islice(_rows(source), source.rows)):
        count += 1
        yield number, row
    if count == 0:
        raise UserError(f"source {source.name!r} has no rows: {origin(source)} is empty")


def origin(source: Source) -> str:
    """Where a source's rows come from, for messages."""
    return source.path or source.hub or f"synthetic {source.synthetic}"


def is_json_array(file: Path) -> bool:
    """Whether a .json file holds one list of rows and not a row a line."""
    if not file.name.endswith((".json", ".json.gz", ".json.zst")):
        return False
    with damage_told(file), open_lines(file) as lines:
        return lines.read(4096).lstrip()[:1] == b"["


def array_lines(file: Path) -> Iterator[bytes]:
    """Yield the elements of a file's JSON list as lines, one in memory at a time.

    Raises UserError when the file is no JSON list.
    """
    try:
        with damage_told(file), open_lines(file) as packed:
            for element in _array_elements(packed):
                # Line ends stand between the values of an element only; in its texts they are escaped.
                yield element.replace("\n", " ").replace("\r", " ").encode() + b"\n"
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is no JSON list ({error}); mend it or fetch it again") from error


def made_rows(source: Source) -> Iterator[dict[str, Any]]:
    """Yield the rows of a program or of a Hub data set. Raises UserError for one that cannot be opened."""
    if source.synthetic is not None:
        return _synthetic_rows(source)
    return _hub_rows(source)


def decode_line(line: bytes, place: str) -> RawRow:
    """Decode one line; the place goes into the detail of what is wrong with it."""
    try:
        return _as_row(msgspec.json.decode(line), place)
    except msgspec.DecodeError as error:
        reason = "row_truncated" if "truncated" in str(error) else "row_not_json"
        return RowError(reason, f"{place}: {error}", _shown(line))
    except (UnicodeDecodeError, RecursionError) as error:
        return RowError("row_not_json", f"{place}: {error}", _shown(line))


def _matching_files(pattern: str) -> list[Path]:
    # Path.glob takes no absolute patterns.
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    return [path for path in map(Path, found) if path.is_file()]


def _require_readable(file: Path, name: str) -> None:
    if not file.is_file():
        raise UserError(f"source {name!r}: there is no file {file}; correct the path")
    if not file.name.endswith(SUFFIXES):
        raise UserError(f"source {name!r}: {file} has none of the suffixes {', '.join(SUFFIXES)}")


def _rows(source: Source) -> Iterator[RawRow]:
    if source.path is None:
        yield from made_rows(source)
    for file in source_files(source):
        if file.suffix == ".parquet":
            yield from read_parquet(file)
        elif is_json_array(file):
            for number, line in enumerate(array_lines(file), 1):
                yield decode_line(line, f"entry {number} of {file}")
        else:
            yield from _line_rows(file)


def _line_rows(file: Path) -> Iterator[RawRow]:
    with damage_told(file), open_lines(file) as lines:
        number = 0
        while line := lines.readline(LINE_LIMIT):
            number += 1
            if not line.isspace():
                yield decode_line(line, f"line {number} of {file}")


def _array_elements(file: IO[bytes] | gzip.GzipFile) -> Iterator[str]:
    """Yield the text of each element of a JSON list. Raises ValueError where it is not one."""
    decoder, reader = json.JSONDecoder(), codecs.getreader("utf-8")(file)
    text = reader.read(_ARRAY_CHARACTERS).lstrip(_BLANKS)[1:]
    is_first = True
    while True:
        text = text.lstrip(_BLANKS) or reader.read(_ARRAY_CHARACTERS).lstrip(_BLANKS)
        if not text:
            raise ValueError("the list is not closed")
        if is_first and text[0] == "]":
            break
        text, end = _next_element(decoder, reader, text)
        yield text[:end]
        text = _after_element(text[end:], reader)
        if text[0] == "]":
            break
        text, is_first = text[1:], False
    if (text[1:] + reader.read(_ARRAY_CHARACTERS)).strip(_BLANKS):
        raise ValueError("more text follows the list")


def _next_element(decoder: json.JSONDecoder, reader: codecs.StreamReader, text: str) -> tuple[str, int]:
    """Read on until the element that `text` begins with is whole; return the text and the element's end."""
    while True:
        try:
            end = decoder.raw_decode(text)[1]
            # A number at the very end of the text may go on.
            if end < len(text):
                return text, end
            problem: Exception = ValueError("the list is not closed")
        except ValueError as error:
            problem = error
        if len(text) > LINE_LIMIT:
            raise problem
        # Twice as much each time, so that a long element is not tried over and over.
        more = reader.read(max(len(text), _ARRAY_CHARACTERS))
        if not more:
            raise problem
        text += more


def _after_element(text: str, reader: codecs.StreamReader) -> str:
    """The text from the comma or bracket that follows an element. Raises ValueError for anything else."""
    text = text.lstrip(_BLANKS)
    while not text:
        more = reader.read(_ARRAY_CHARACTERS)
        if not more:
            raise ValueError("the list is not closed")
        text = more.lstrip(_BLANKS)
    if text[0] not in ",]":
        raise ValueError(f"{text[0]!r} stands where a comma or the end of the list belongs")
    return text


def _hub_rows(source: Source) -> Iterator[dict[str, Any]]:
    """Stream the rows, so that a limit of rows limits what is fetched."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    assert source.hub is not None
    try:
        rows: Iterable[Any] = load_dataset(
            source.hub, split=source.split, revision=source.revision, streaming=True
        )
        # The first row opens the files.
        yield from map(with_json_columns_read, rows)
    except (DatasetNotFoundError, OSError, ValueError) as error:
        raise UserError(
            f"source {source.name!r}: cannot read {source.hub} split {source.split}: {error}"
        ) from error


def _synthetic_rows(source: Source) -> Iterator[dict[str, Any]]:
    from data_filters.synthetic import rows

    assert source.synthetic is not None and source.rows is not None
    made = rows(source.synthetic, source.rows, source.seed, source.mode, source.faults, source.held_out)
    for row in made:
        # Two programs of one kind make rows of the same ids: let the source number them.
        yield {name: value for name, value in row.items() if name != "id"}


def _as_row(value: Any, place: str) -> RawRow:
    if isinstance(value, dict):
        return value
    return RowError("row_not_object", f"{place}: a row is a JSON object", str(value)[:_SHOWN_CHARACTERS])


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")[:_SHOWN_CHARACTERS]
