"""The filter's steps are blocks of any datatrove pipeline."""

import json
from pathlib import Path

import pytest
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.readers.base import BaseDiskReader
from datatrove.pipeline.writers import JsonlWriter

from data_filters.blocks import (
    ContaminationFilter,
    KeptDocuments,
    RowsFromDocuments,
    VerifyFilter,
    as_row_document,
)
from data_filters.contamination import HeldOut
from data_filters.files import read_jsonl, write_jsonl
from data_filters.settings import ContaminationSettings, Source, VerifySettings


def rows() -> list[dict[str, object]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {number} + 2?"},
                {
                    "role": "assistant",
                    "content": f"<think>{number} + 2 = {number + 2}</think>{number + 2 + wrong}",
                },
            ],
            "task": json.dumps({"kind": "math", "answer": str(number + 2)}),
        }
        for number, wrong in ((1, 0), (2, 1), (3, 0), (4, 0))
    ]


@pytest.mark.parametrize("reader", [JsonlReader, ParquetReader])
def test_a_plain_datatrove_pipeline_verifies_documents_of_its_own_readers(
    tmp_path: Path, reader: type[BaseDiskReader]
) -> None:
    (tmp_path / "in").mkdir()
    if reader is JsonlReader:
        write_jsonl(tmp_path / "in" / "rows.jsonl", rows())
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows()), tmp_path / "in" / "rows.parquet")
    pipeline = [
        reader(str(tmp_path / "in"), adapter=as_row_document),
        RowsFromDocuments(Source(name="rows", path="in")),
        VerifyFilter(VerifySettings()),
        ContaminationFilter((HeldOut("held/0", "What is 4 + 2?"),), ContaminationSettings()),
        KeptDocuments(),
        JsonlWriter(str(tmp_path / "out"), compression=None),
    ]

    LocalPipelineExecutor(pipeline, tasks=1, logging_dir=str(tmp_path / "logs")).run()

    found = list(read_jsonl(tmp_path / "out" / "00000.jsonl"))
    assert [document["id"] for document in found] == ["rows/0/0", "rows/0/2"]
    assert found[0]["text"] == "What is 1 + 2?\n\n<think>1 + 2 = 3</think>\n3"
    assert found[0]["metadata"]["verdict"]["outcome"] == "verified"
    assert found[0]["metadata"]["sample"]["messages"][1]["reasoning"] == "1 + 2 = 3"
