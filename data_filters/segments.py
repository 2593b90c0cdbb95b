"""The rows of all sources cut into tasks: each task knows which bytes of which file are its own.

Every file is looked through once, so that no task reads what belongs to another: a file of lines is cut at line
ends, a Parquet file by its row numbers. What cannot be cut (packed files, JSON lists, Hub data sets, rows that a
program makes) is first written out as lines, once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import msgspec

from data_filters.errors import UserError
from data_filters.files import damage_told, open_lines, write_atomically
from data_filters.parquet import RawRow, count_rows, read_parquet
from data_filters.readers import (
    LINE_LIMIT,
    array_lines,
    decode_line,
    is_json_array,
    made_rows,
    origin,
    source_files,
)
from data_filters.settings import EngineSettings, Source

ROWS_PER_TASK = 20_000
"""Most rows of a task, unless the recipe says how many tasks there are: what a kill costs, and what the passes
over all rows hold in memory at a time."""

_TASKS_PER_WORKER = 4
_MARKS = 4096
"""Places kept for cutting the files of a source."""
_FINE_MARKS = 1 << 20
"""Places kept for cutting one file alone, 16 MB of them: tasks are even up to a thousand million rows."""
_PACKED = (".gz", ".zst")


class Segment(msgspec.Struct, frozen=True):
    """Rows that follow each other in one file."""

    source: int
    """Place of the source in the recipe."""
    file: str
    shown: str
    """The file or data set that the rows come from, for messages."""
    start: int
    """First byte of a file of lines; first row of a Parquet file."""
    stop: int
    """The byte or row after the last."""
    number: int
    """Number of the first row in the source, from 0."""
    line: int
    """Number of the first line or entry in the file, from 1."""
    unit: Literal["line", "entry"] = "line"
    """What the numbers count: entries where the file was a JSON list, or no file at all."""


class WorkPlan(msgspec.Struct, frozen=True):
    """What each task reads. Rows are ordered as the tasks are, and within them as the segments are."""

    sources: list[Source]
    """The sources as they are to be read: rows that were written out have the format of what wrote them."""
    tasks: list[list[Segment]]
    starts: list[int]
    """Place of each task's first row among all rows; one more entry holds the number of all rows."""


@dataclass(frozen=True)
class _RowFile:
    """A file that can be cut, with the places where that may be done, in ascending order."""

    source: int
    file: Path
    shown: str
    number: int
    """Number of its first row in the source."""
    rows: int
    end: int
    """Where its last row ends, in bytes or rows."""
    marks: _Marks | None = None
    """None for a Parquet file, which can be cut at every row."""
    unit: Literal["line", "entry"] = "line"

    def segment(self, first: int, last: int) -> Segment:
        """The rows from `first` to before `last`; both must be places that `cut` returned."""
        if self.marks is None:
            start, line, stop = first, first + 1, last
        else:
            start, line = self.marks.place(first)
            stop = self.end if last == self.rows else self.marks.place(last)[0]
        return Segment(
            self.source, str(self.file), self.shown, start, stop, self.number + first, line, self.unit
        )

    def cut(self, row: int) -> int:
        """The row at or before `row` at which the file can be cut."""
        if self.marks is None or row == self.rows:
            return row
        return self.marks.at_or_before(row)


class _Marks:
    """Byte and line of every n-th row, where n doubles as the file grows: a fixed number of places."""

    def __init__(self, limit: int) -> None:
        self._limit = max(2, limit)
        self._stride = 1
        self._bytes = array("Q")
        self._lines = array("Q")

    def add(self, row: int, start: int, line: int) -> None:
        if row % self._stride:
            return
        if len(self._bytes) == self._limit:
            self._bytes, self._lines = self._bytes[::2], self._lines[::2]
            self._stride *= 2
            if row % self._stride:
                return
        self._bytes.append(start)
        self._lines.append(line)

    def at_or_before(self, row: int) -> int:
        return row // self._stride * self._stride

    def place(self, row: int) -> tuple[int, int]:
        """Byte and line of a row that `at_or_before` returned."""
        index = row // self._stride
        return self._bytes[index], self._lines[index]


def plan_work(sources: list[Source], engine: EngineSettings, folder: Path) -> WorkPlan:
    """Cut the rows of `sources` into tasks; what cannot be cut is written out as lines into `folder`.

    Raises UserError for sources that are missing, damaged or empty.
    """
    reading = [_as_written_out(source, folder) for source in sources]
    files: list[_RowFile] = []
    for position, source in enumerate(sources):
        found = list(_row_files(position, source, folder))
        if not sum(file.rows for file in found):
            raise UserError(f"source {source.name!r} has no rows: {origin(source)} is empty")
        files += found
    total = sum(file.rows for file in files)
    tasks = engine.tasks or max(_TASKS_PER_WORKER * engine.workers, -(-total // ROWS_PER_TASK))
    segments, starts = _cut(files, total, tasks)
    return WorkPlan(reading, segments, starts)


def plan_file(file: Path, rows_per_task: int, most_tasks: int) -> list[Segment]:
    """Cut one file of rows, .jsonl or .parquet, into tasks of about as many rows: one segment each.

    The cut depends on nothing but the file: the same for any number of workers. Raises UserError for a damaged file.
    """
    if file.suffix == ".parquet":
        rows = count_rows(file)
        found = _RowFile(0, file, str(file), 0, rows, rows)
    else:
        found = _line_file(0, file, str(file), 0, None, _FINE_MARKS, "line")
    tasks = min(-(-found.rows // rows_per_task), most_tasks)
    segments, _ = _cut([found], found.rows, tasks) if tasks else ([], [])
    return [segment for task in segments for segment in task]


def read_segment(segment: Segment) -> Iterator[tuple[int, RawRow]]:
    """Yield (number, row) for each row of a segment; a line that cannot be read comes as a RowError.

    Raises UserError for a damaged file.
    """
    file = Path(segment.file)
    if file.suffix == ".parquet":
        yield from enumerate(read_parquet(file, segment.start, segment.stop), segment.number)
        return
    with file.open("rb", buffering=1 << 20) as lines:
        lines.seek(segment.start)
        rows = _lines_between(lines, segment.start, segment.stop, segment.line)
        for number, (_, line_number, line) in enumerate(rows, segment.number):
            yield number, decode_line(line, f"{segment.unit} {line_number} of {segment.shown}")


def _as_written_out(source: Source, folder: Path) -> Source:
    """The source as its rows are to be read: those of a program are ours, whatever the source asks of them."""
    if source.synthetic is None:
        return source
    # The program has already kept to the mode, but a faulty row may miss its thought; leave that to the
    # verifier.
    return Source(
        name=source.name, path=str(_written_out(folder, source, 0)), format="openai", task=source.task
    )


def _written_out(folder: Path, source: Source, number: int) -> Path:
    return folder / f"rows-{source.name}-{number:05d}.jsonl"


def _row_files(position: int, source: Source, folder: Path) -> Iterator[_RowFile]:
    """The files of a source that can be cut, up to its limit of rows."""
    if source.path is None:
        file = _written_out(folder, source, 0)
        if not file.is_file():
            _write_lines(file, _made_lines(source))
        yield _line_file(position, file, origin(source), 0, None, _MARKS, "entry")
        return
    number = 0
    paths = source_files(source)
    for index, path in enumerate(paths):
        left = None if source.rows is None else source.rows - number
        if left == 0:
            return
        found = _file_rows(position, path, number, left, _written_out(folder, source, index), len(paths))
        number += found.rows
        yield found


def _file_rows(
    position: int, path: Path, number: int, limit: int | None, written_out: Path, files: int
) -> _RowFile:
    if path.suffix == ".parquet":
        rows = count_rows(path) if limit is None else min(limit, count_rows(path))
        return _RowFile(position, path, str(path), number, rows, rows)
    file = path
    unit: Literal["line", "entry"] = "line"
    if is_json_array(path):
        file, unit = written_out, "entry"
        if not file.is_file():
            _write_lines(file, islice(array_lines(path), limit))
    elif path.suffix in _PACKED:
        file = written_out
        if not file.is_file():
            _write_lines(file, _unpacked_lines(path, limit))
    return _line_file(position, file, str(path), number, limit, max(16, _MARKS // files), unit)


def _line_file(
    position: int,
    file: Path,
    shown: str,
    number: int,
    limit: int | None,
    marks: int,
    unit: Literal["line", "entry"],
) -> _RowFile:
    """Look through a file of lines for the places where it can be cut."""
    found = _Marks(marks)
    rows = end = 0
    with file.open("rb", buffering=1 << 20) as lines:
        for start, line_number, line in islice(_lines_between(lines, 0, None, 1), limit):
            found.add(rows, start, line_number)
            rows += 1
            end = start + len(line)
    return _RowFile(position, file, shown, number, rows, end, found, unit)


def _lines_between(
    lines: IO[bytes], start: int, stop: int | None, number: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (first byte, line number, line) for each line that is not blank and begins before `stop`."""
    while (stop is None or start < stop) and (line := lines.readline(LINE_LIMIT)):
        if not line.isspace():
            yield start, number, line
        start += len(line)
        number += 1


def _unpacked_lines(path: Path, limit: int | None) -> Iterator[bytes]:
    """The lines of a packed file, blank ones too, so that line numbers stay right."""
    rows = 0
    with damage_told(path), open_lines(path) as lines:
        while (limit is None or rows < limit) and (line := lines.readline(LINE_LIMIT)):
            rows += not line.isspace()
            yield line


def _made_lines(source: Source) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    for row in islice(made_rows(source), source.rows):
        yield encoder.encode(row) + b"\n"


def _write_lines(file: Path, lines: Iterable[bytes]) -> None:
    with write_atomically(file, "wb") as out:
        for line in lines:
            out.write(line)


def _cut(files: list[_RowFile], total: int, tasks: int) -> tuple[list[list[Segment]], list[int]]:
    """Give each task about as many rows, in order; also return where each task's rows begin."""
    segments: list[list[Segment]] = [[] for _ in range(tasks)]
    starts = [0] * (tasks + 1)
    before = 0
    for file in files:
        for task in _tasks_of(before, file.rows, total, tasks):
            # The row of this file at which the task begins, and the next.
            first, last = (
                file.cut(min(max(total * edge // tasks - before, 0), file.rows)) for edge in (task, task + 1)
            )
            if first < last:
                segments[task].append(file.segment(first, last))
                starts[task + 1] += last - first
        before += file.rows
    for task in range(tasks):
        starts[task + 1] += starts[task]
    return segments, starts


def _tasks_of(before: int, rows: int, total: int, tasks: int) -> range:
    """The tasks that can have a part in a file, without those far off."""
    return range(max(0, before * tasks // total - 1), min(tasks, (before + rows) * tasks // total + 1))
