"""Rows come out of files of every kind; a bad line is one rejection."""

import gzip
import json
from pathlib import Path

import pytest

from data_filters.errors import UserError
from data_filters.formats import RowError
from data_filters.readers import read_rows
from data_filters.settings import Source

ROWS = [{"n": 0}, {"n": 1}, {"n": 2}]


def source(path: Path | str, rows: int | None = None) -> Source:
    return Source(name="test", path=str(path), rows=rows)


def lines(rows: list[dict[str, int]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(path: Path) -> None:
    if path.name == "rows.parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        return
    data = json.dumps(ROWS).encode() if ".json" in path.name and ".jsonl" not in path.name else lines(ROWS)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.json.gz", "rows.parquet"])
def test_every_kind_of_file_gives_its_rows_numbered(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)

    assert list(read_rows(source(tmp_path / name))) == list(enumerate(ROWS))


def test_a_json_file_may_hold_lines_instead_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_bytes(lines(ROWS))

    assert [row for _, row in read_rows(source(tmp_path / "rows.json"))] == ROWS


def test_a_glob_reads_its_files_in_order_and_counts_through(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(lines([{"n": 1}]))
    (tmp_path / "a.jsonl").write_bytes(lines([{"n": 0}]))

    assert list(read_rows(source(tmp_path / "*.jsonl"))) == [(0, {"n": 0}), (1, {"n": 1})]


def test_a_limit_takes_the_first_rows(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")

    assert list(read_rows(source(tmp_path / "rows.jsonl", rows=2))) == list(enumerate(ROWS[:2]))


def test_the_shards_together_are_all_rows_once(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")

    shards = [list(read_rows(source(tmp_path / "rows.jsonl"), task, 2)) for task in range(2)]

    assert shards == [[(0, ROWS[0]), (2, ROWS[2])], [(1, ROWS[1])]]


def test_a_truncated_row_is_rejected_with_its_line_number(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"n": 0}\n\n{"n": "cut he')

    (_, good), (number, bad) = read_rows(source(tmp_path / "rows.jsonl"))

    assert good == {"n": 0}
    assert number == 1
    assert isinstance(bad, RowError)
    assert bad.reason == "row_truncated"
    assert "line 3 of" in bad.detail
    assert bad.line == '{"n": "cut he'


@pytest.mark.parametrize(
    ("line", "slug"),
    [
        (b"not json", "row_not_json"),
        (b"[1, 2]", "row_not_object"),
        (b'"\xff\xfe"', "row_not_json"),
        (b"[" * 100_000, "row_not_json"),
    ],
)
def test_a_line_that_is_no_row_is_one_rejection_and_the_next_line_is_read(
    tmp_path: Path, line: bytes, slug: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(line + b'\n{"n": 1}\n')

    (_, bad), (_, good) = read_rows(source(tmp_path / "rows.jsonl"))

    assert isinstance(bad, RowError)
    assert bad.reason == slug
    assert good == {"n": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*gone\.jsonl"):
        list(read_rows(source(tmp_path / "gone.jsonl")))


def test_a_glob_without_a_match_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file matches .*\*\.jsonl"):
        list(read_rows(source(tmp_path / "*.jsonl")))


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b")

    with pytest.raises(UserError, match=r"rows\.csv has none of the suffixes .*\.parquet"):
        list(read_rows(source(tmp_path / "rows.csv")))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_source_without_a_row_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text)

    with pytest.raises(UserError, match=r"'test' has no rows: .*rows\.jsonl is empty"):
        list(read_rows(source(tmp_path / "rows.jsonl")))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(lines(ROWS * 1000))
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[: len(packed) // 2])

    with pytest.raises(UserError, match=r"rows\.jsonl\.gz is damaged"):
        list(read_rows(source(tmp_path / "rows.jsonl.gz")))


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 but nothing else")

    with pytest.raises(UserError, match=r"rows\.parquet is no readable Parquet file"):
        list(read_rows(source(tmp_path / "rows.parquet")))
