"""Parquet files: rows of any table in, samples and rejected rows out.

Fields of free form (task, tools, meta, tool calls, verdict) stand in a column as JSON text, so that a column has
one type whatever the rows hold. One row of kept.parquet:

    {"id": "gsm8k/17", "source": "gsm8k",
     "messages": [{"role": "user", "content": "6 * 7?", "reasoning": null, "tool_calls": null, "name": null,
                   "train": "all"}, ...],
     "tools": null, "task": '{"kind": "math", "answer": "42"}', "meta": "{}"}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from data_filters.errors import UserError
from data_filters.row_fields import RowError
from data_filters.samples import Message, Sample

if TYPE_CHECKING:
    import pyarrow

_READ_ROWS = 256
_JSON_COLUMNS = ("tools", "task", "meta")

RawRow = dict[str, Any] | RowError


def count_rows(file: Path) -> int:
    """The number of rows of a Parquet file, from its footer. Raises UserError for a damaged file."""
    with _opened(file) as table:
        return int(table.metadata.num_rows)


def read_parquet(file: Path, start: int = 0, stop: int | None = None) -> Iterator[RawRow]:
    """Yield the rows from `start` up to `stop`, one batch in memory; row groups outside are not touched.

    A row whose text is no UTF-8 comes as a RowError. Raises UserError for a damaged file.
    """
    from pyarrow import ArrowInvalid

    try:
        with _opened(file) as table:
            yield from _rows_between(table, start, table.metadata.num_rows if stop is None else stop)
    except (ArrowInvalid, OSError) as error:
        raise _damaged(file, error) from error


def sample_columns(samples: list[Sample]) -> pyarrow.Table:
    """Samples as a table that `datasets` and `read_parquet` read."""
    import pyarrow

    return pyarrow.Table.from_pylist([_flat_sample(sample) for sample in samples], schema=_sample_schema())


def rejected_columns(records: list[dict[str, Any]]) -> pyarrow.Table:
    """Lines of rejected.jsonl as a table: one column of JSON text for each of a record's parts."""
    import pyarrow

    names = ("source", "sample", "row", "line", "verdict")
    plain = ("source", "line")
    rows = [
        {
            name: record[name] if name in plain or record.get(name) is None else _text(record[name])
            for name in names
            if name in record
        }
        for record in records
    ]
    return pyarrow.Table.from_pylist(
        rows, schema=pyarrow.schema([(name, pyarrow.string()) for name in names])
    )


def with_json_columns_read(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a conversation whose fields of free form may be JSON text, with these fields read."""
    if "messages" not in row:
        return row
    for name in _JSON_COLUMNS:
        if isinstance(row.get(name), str):
            row[name] = _value_or_text(row[name])
    messages = row["messages"]
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("tool_calls"), str):
            message["tool_calls"] = _value_or_text(message["tool_calls"])
    return row


def _opened(file: Path) -> Any:
    import pyarrow.parquet
    from pyarrow import ArrowInvalid

    try:
        return pyarrow.parquet.ParquetFile(file)
    except (ArrowInvalid, OSError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} is no readable Parquet file ({error}); fetch it again")


def _rows_between(table: Any, start: int, stop: int) -> Iterator[RawRow]:
    first = 0
    for group in range(table.metadata.num_row_groups):
        size = table.metadata.row_group(group).num_rows
        if first + size > start and first < stop:
            yield from _group_rows(table, group, start - first, stop - first)
        first += size


def _group_rows(table: Any, group: int, start: int, stop: int) -> Iterator[RawRow]:
    first = 0
    for batch in table.iter_batches(batch_size=_READ_ROWS, row_groups=[group]):
        if first >= stop:
            return
        begin, end = max(start - first, 0), min(stop - first, batch.num_rows)
        if begin < end:
            yield from _batch_rows(batch.slice(begin, end - begin))
        first += batch.num_rows


def _batch_rows(batch: Any) -> Iterator[RawRow]:
    try:
        yield from map(with_json_columns_read, batch.to_pylist())
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _single_row(batch.slice(index, 1))


def _single_row(batch: Any) -> RawRow:
    try:
        return with_json_columns_read(batch.to_pylist()[0])
    except UnicodeDecodeError as error:
        return RowError("row_not_text", f"a text of the row is no UTF-8: {error}")


def _sample_schema() -> pyarrow.Schema:
    import pyarrow

    text = pyarrow.string()
    message = pyarrow.struct(
        [(name, text) for name in ("role", "content", "reasoning", "tool_calls", "name", "train")]
    )
    columns = {"id": text, "source": text, "messages": pyarrow.list_(message)}
    return pyarrow.schema([*columns.items(), *((name, text) for name in _JSON_COLUMNS)])


def _flat_sample(sample: Sample) -> dict[str, Any]:
    row: dict[str, Any] = {"id": sample.id, "source": sample.source}
    row["messages"] = [_flat_message(message) for message in sample.messages]
    for name in _JSON_COLUMNS:
        value = getattr(sample, name)
        row[name] = None if value is None else _text(value)
    return row


def _flat_message(message: Message) -> dict[str, Any]:
    calls = message.tool_calls
    return {
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "tool_calls": None if calls is None else _text(calls),
        "name": message.name,
        "train": message.train,
    }


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _value_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
