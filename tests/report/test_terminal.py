import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from hermes_train.report import mixture_lines, score_tables


def printed(folder: Path, number: int) -> list[list[str]]:
    table = score_tables(folder)[number]
    paper = io.StringIO()
    Console(width=160, file=paper, color_system=None).print(table)
    lines = [line for line in paper.getvalue().splitlines() if line.strip().startswith(("think", "direct"))]
    return [re.split(r"\s{2,}", line.strip()) for line in lines]


def test_each_table_fits_into_eighty_columns(run_folder: Path) -> None:
    for table in score_tables(run_folder):
        assert Console(width=200).measure(table).minimum <= 80


def test_the_terminal_shows_each_model_in_each_mode(run_folder: Path) -> None:
    rows = printed(run_folder, 0)

    assert [row[:2] for row in rows] == [
        [mode, model] for mode in ("think", "direct") for model in ("base", "sft", "hybrid", "dpo")
    ]
    assert rows[3][2:] == [
        "90.8\u202f%",
        "84.3\u201394.8",
        "99.2\u202f%",
        "99.2\u202f%",
        "0.8\u202f%",
        "68.4",
    ]


def test_there_is_no_table_before_the_first_evaluation(
    tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    assert score_tables(write_run(tmp_path / "run", ("prepare", "filter"))) == []


def test_form_and_refusals_have_a_table_of_their_own_with_intervals(run_folder: Path) -> None:
    (table,) = score_tables(run_folder)[1:]
    rows = printed(run_folder, 1)

    assert [row[:2] for row in rows] == [row[:2] for row in printed(run_folder, 0)]
    assert rows[3][2:] == [
        "93.8\u202f% (83.2\u201397.9)",
        "0.8\u202f% (0.1\u20134.6)",
        "87.5\u202f% (52.9\u201397.8)",
    ]
    assert "48 problems that ask for a form" in str(table.title)


def test_the_terminal_shows_what_each_source_gives_and_which_share_is_missed(
    example_pack: dict[str, Any],
) -> None:
    paper = io.StringIO()
    console = Console(width=120, file=paper, color_system=None)

    for line in mixture_lines(example_pack):
        console.print(line, highlight=False)

    text = paper.getvalue()
    records = next(line for line in text.splitlines() if line.startswith(" records"))
    assert records.split()[:6] == ["records", "think", "207", "205", "205", "1.00"]
    assert "too_long 2" in records
    assert "records: 19.0\u202f% of the tokens, 25.0\u202f% wanted (falls short)" in text
    assert "think mode: 85.3\u202f% of the tokens, 85.0\u202f% wanted" in text
