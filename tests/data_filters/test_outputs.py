"""Kept and rejected rows read back the same from JSON lines and from Parquet."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from data_filters.files import write_jsonl
from data_filters.outputs import read_kept, read_rejected
from data_filters.pipeline import run_filter
from data_filters.readers import read_rows
from data_filters.samples import Sample
from data_filters.settings import DataSettings, EngineSettings, Source

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
CALLS = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]


def rows() -> list[dict[str, Any]]:
    asked = {"role": "user", "content": "What is 1 + 1?"}
    good = {"role": "assistant", "content": "2"}
    called = [{"role": "assistant", "content": "", "tool_calls": CALLS}, {"role": "tool", "content": "2"}]
    meta = {"deep": [1, {"x": None}]}
    return [
        {"messages": [asked, {**good, "reasoning": "1 + 1 = 2"}], "answer": "2", "meta": meta},
        {"messages": [asked, good], "answer": "3"},
        {"messages": [asked, *called, good], "tools": TOOLS, "answer": "2"},
        {"messages": []},
    ]


def filtered(folder: Path, form: str) -> Path:
    write_jsonl(folder / "rows.jsonl", rows())
    source = Source(name="rows", path=str(folder / "rows.jsonl"), task="math")
    run_filter(DataSettings(sources=[source], engine=EngineSettings(output=form)), [], folder / form)
    return folder / form


def test_both_forms_give_the_same_rows(tmp_path: Path) -> None:
    lines, columns = filtered(tmp_path, "jsonl"), filtered(tmp_path, "parquet")

    kept = list(read_kept(lines))
    assert [sample.id for sample in kept] == ["rows/0", "rows/2"]
    assert kept[1].tools == TOOLS and kept[1].messages[1].tool_calls == CALLS
    assert list(read_kept(columns)) == kept
    ((sample, verdict),) = read_rejected(lines)
    ((other, other_verdict),) = read_rejected(columns)
    assert (other, other_verdict.reason) == (sample, verdict.reason)
    assert sorted(entry.name for entry in columns.iterdir() if entry.suffix != "") == [
        *("figures.json", "kept.parquet", "rejected.parquet", "verdicts.jsonl")
    ]


def test_kept_rows_in_parquet_are_a_source_of_the_same_samples(tmp_path: Path) -> None:
    folder = filtered(tmp_path, "parquet")

    data = DataSettings(sources=[Source(name="again", path=str(folder / "kept.parquet"))])
    run_filter(data, [], tmp_path / "again")

    again = [msgspec.structs.replace(sample, source="rows") for sample in read_kept(tmp_path / "again")]
    assert again == list(read_kept(folder))


def test_datasets_reads_them_and_what_it_reads_is_a_source_too(tmp_path: Path) -> None:
    import datasets

    folder = filtered(tmp_path, "parquet")

    table = datasets.load_dataset("parquet", data_files=str(folder / "kept.parquet"), split="train")
    (tmp_path / "hub").mkdir()
    table.to_parquet(tmp_path / "hub" / "train.parquet")
    found = [row for _, row in read_rows(Source(name="hub", hub=str(tmp_path / "hub")))]

    assert table.column_names == ["id", "source", "messages", "tools", "task", "meta"]
    assert [msgspec.convert(row, Sample) for row in found] == list(read_kept(folder))


def test_the_files_of_the_other_form_go(tmp_path: Path) -> None:
    folder = filtered(tmp_path, "jsonl")
    folder.rename(tmp_path / "parquet")

    filtered(tmp_path, "parquet")

    assert not (tmp_path / "parquet" / "kept.jsonl").exists()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_error_in_the_merge_leaves_no_file(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_filters import merge

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merge, "_require_every_row", fail)
    with pytest.raises(OSError, match="No space"):
        filtered(tmp_path, form)

    assert {entry.name for entry in (tmp_path / form).iterdir()} == {"shards", "logs"}
