"""Rows come out of files of every kind; a bad line is one rejection."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.readers import array_lines, read_rows
from data_filters.row_fields import RowError
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
    path.write_bytes(PACKERS.get(path.suffix, bytes)(data))


def zstd(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))


PACKERS = {".gz": gzip.compress, ".zst": zstd}
NAMES = [
    *("rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst"),
    *("rows.json", "rows.json.gz", "rows.json.zst", "rows.parquet"),
]


@pytest.mark.parametrize("name", NAMES)
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


@given(st.lists(st.recursive(st.none() | st.floats(allow_nan=False) | st.text(), st.lists)), st.data())
def test_a_json_list_is_read_element_by_element_wherever_its_blanks_stand(
    values: list[Any], data: Any
) -> None:
    indent = data.draw(st.sampled_from([None, 0, 2]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        file.write_text(json.dumps(values, indent=indent, ensure_ascii=False), encoding="utf-8")

        assert [json.loads(line) for line in array_lines(file)] == values


@pytest.mark.parametrize(
    "text", ['[{"n": 0}', '[{"n": 0},]', '[{"n": 0} {"n": 1}]', '[{"n": 0}] and more', "[1, 2", "[[["]
)
def test_a_broken_json_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)

    with pytest.raises(UserError, match=r"rows\.json is no JSON list"):
        list(read_rows(source(tmp_path / "rows.json")))


def test_elements_longer_than_what_is_read_at_a_time_are_whole(tmp_path: Path) -> None:
    rows = [{"n": number, "text": "x" * 3_000_000} for number in range(3)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))

    assert [row for _, row in read_rows(source(tmp_path / "rows.json"))] == rows


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
def test_a_packed_file_that_was_cut_off_is_refused_by_name(tmp_path: Path, name: str) -> None:
    whole = PACKERS[Path(name).suffix](lines(ROWS * 50_000))
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UserError, match=r"rows\.jsonl.* is damaged .*fetch it again"):
        list(read_rows(source(tmp_path / name)))


def test_a_text_that_is_no_utf8_is_one_rejection_in_a_parquet_file_too(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = pyarrow.array([b"good", b"\xff\xfe", b"fine"]).cast(pyarrow.string(), safe=False)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "rows.parquet")

    (_, first), (_, bad), (_, last) = read_rows(source(tmp_path / "rows.parquet"))

    assert (first, last) == ({"text": "good"}, {"text": "fine"})
    assert isinstance(bad, RowError)
    assert bad.reason == "row_not_text"


def test_a_hub_data_set_is_streamed_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    for name, start in (("train-00000-of-00002", 0), ("train-00001-of-00002", 10)):
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"n": list(range(start, start + 10))})
        pyarrow.parquet.write_table(table, tmp_path / "set" / "data" / f"{name}.parquet")

    found = list(read_rows(Source(name="hub", hub=str(tmp_path / "set"), rows=12)))

    assert found == [(number, {"n": number}) for number in range(12)]


def test_a_hub_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'hub': cannot read .*gone split train"):
        list(read_rows(Source(name="hub", hub=str(tmp_path / "gone"))))
