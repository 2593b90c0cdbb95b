"""The tasks together read every row once and in order, and no task looks at what belongs to another."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.row_fields import RowError
from data_filters.segments import WorkPlan, plan_file, plan_work, read_segment
from data_filters.settings import EngineSettings, Source


def planned(sources: list[Source], tasks: int | None, folder: Path, workers: int = 1) -> WorkPlan:
    folder.mkdir(exist_ok=True)
    return plan_work(sources, EngineSettings(tasks=tasks, workers=workers), folder)


def read(plan: WorkPlan) -> list[list[tuple[int, int, object]]]:
    """(source, number, row) of each row, by task."""
    return [
        [(segment.source, number, row) for segment in task for number, row in read_segment(segment)]
        for task in plan.tasks
    ]


def joined(plan: WorkPlan) -> list[tuple[int, int, object]]:
    return [row for task in read(plan) for row in task]


def numbered(count: int, source: int = 0) -> list[tuple[int, int, object]]:
    return [(source, number, {"n": number}) for number in range(count)]


def lines(count: int) -> bytes:
    return b"".join(json.dumps({"n": number}).encode() + b"\n" for number in range(count))


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    tasks=st.integers(1, 12),
    final_line_end=st.booleans(),
    limit=st.none() | st.integers(1, 70),
)
def test_rows_between_blank_lines_are_cut_into_any_number_of_tasks(
    tmp_path_factory: pytest.TempPathFactory,
    gaps: list[int],
    tasks: int,
    final_line_end: bool,
    limit: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    text = "".join(" \n" * gap + json.dumps({"n": number}) + "\n" for number, gap in enumerate(gaps))
    (folder / "rows.jsonl").write_text(text if final_line_end else text[:-1])

    plan = planned([Source(name="a", path=str(folder / "rows.jsonl"), rows=limit)], tasks, folder / "work")

    assert joined(plan) == numbered(min(len(gaps), limit or len(gaps)))
    assert plan.starts == [sum(len(task) for task in read(plan)[:count]) for count in range(tasks + 1)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet"])
@pytest.mark.parametrize("limit", [None, 13])
def test_several_files_of_every_kind_are_cut_and_counted_through(
    tmp_path: Path, suffix: str, limit: int | None
) -> None:
    import pyarrow
    import pyarrow.parquet

    for name, first in (("a", 0), ("b", 10)):
        rows = [{"n": number} for number in range(first, first + 10)]
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        file = tmp_path / f"{name}{suffix}"
        match suffix:
            case ".parquet":
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=3)
            case ".json":
                file.write_text(json.dumps(rows, indent=2))
            case ".jsonl.gz":
                file.write_bytes(gzip.compress(data))
            case ".jsonl.zst":
                file.write_bytes(pyarrow.compress(data, codec="zstd", asbytes=True))
            case _:
                file.write_bytes(data)
    sources = [Source(name="all", path=f"{tmp_path}/*{suffix}", rows=limit)]

    plan = planned(sources, 4, tmp_path / "work")

    assert joined(plan) == numbered(limit or 20)
    assert max(len(task) for task in read(plan)) <= 6


def test_rows_of_several_sources_follow_each_other_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "z.jsonl").write_bytes(lines(7))
    (tmp_path / "a.jsonl").write_bytes(lines(5))
    sources = [Source(name=name, path=str(tmp_path / f"{name}.jsonl")) for name in ("z", "a")]

    assert joined(planned(sources, 3, tmp_path / "work")) == numbered(7, 0) + numbered(5, 1)


def test_a_long_file_is_cut_evenly(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines(50_000))

    plan = planned([Source(name="a", path=str(tmp_path / "rows.jsonl"))], 16, tmp_path / "work")

    sizes = [end - start for start, end in zip(plan.starts, plan.starts[1:], strict=False)]
    assert joined(plan) == numbered(50_000)
    assert max(sizes) - min(sizes) <= 2 * 16


def test_there_are_as_many_tasks_as_keep_each_small(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines(45_000))
    sources = [Source(name="a", path=str(tmp_path / "rows.jsonl"))]

    assert len(planned(sources, None, tmp_path / "one").tasks) == 4
    assert len(planned(sources, None, tmp_path / "many", workers=5).tasks) == 20
    (tmp_path / "rows.jsonl").write_bytes(lines(130_000))
    assert len(planned(sources, None, tmp_path / "long").tasks) == 7


@pytest.mark.parametrize(("name", "place"), [("rows.jsonl.gz", "line 4 of"), ("rows.json", "entry 3 of")])
def test_a_bad_row_is_told_with_its_place_in_the_file_that_was_given(
    tmp_path: Path, name: str, place: str
) -> None:
    file = tmp_path / name
    file.write_bytes(
        gzip.compress(b'{"n": 0}\n\n{"n": 1}\n[]\n') if name.endswith(".gz") else b'[{"n": 0}, {"n": 1}, []]'
    )

    *_, (_, number, bad) = joined(planned([Source(name="a", path=str(file))], 2, tmp_path / "work"))

    assert number == 2
    assert isinstance(bad, RowError)
    assert bad.detail.startswith(f"{place} {file}")


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n\n")

    with pytest.raises(UserError, match="'a' has no rows"):
        planned([Source(name="a", path=str(tmp_path / "rows.jsonl"))], 2, tmp_path / "work")


@given(st.integers(0, 400), st.integers(1, 50), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_one_file_is_cut_evenly_by_its_rows_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: int, per_task: int, most: int
) -> None:
    file = tmp_path_factory.mktemp("rows") / "kept.jsonl"
    file.write_bytes(lines(rows))

    segments = plan_file(file, per_task, most)

    read = [row for segment in segments for row in read_segment(segment)]
    sizes = [len(list(read_segment(segment))) for segment in segments]
    assert read == [(number, {"n": number}) for number in range(rows)]
    assert len(segments) == min(-(-rows // per_task), most)
    assert not sizes or max(sizes) - min(sizes) <= 1
