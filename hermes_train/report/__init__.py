"""The report of a run: one self-contained page, and the table of scores for the terminal.

    files --load--> Run --views--> Page --template--> report.html

It can be written at any moment of a run: what is not done yet is shown as not done, never as zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from data_filters.files import write_atomically
from hermes_train.report.load import load_run, load_scores
from hermes_train.report.page import page, render
from hermes_train.report.records import PackFigures
from hermes_train.report.terminal import packed_table, preference_table, share_lines, terminal_table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["mixture_lines", "score_tables", "write_report"]


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run's folder, whole or not at all, and return its path.

    Raises UserError when the folder is missing or a file in it is not what its stage writes.
    """
    path = run_folder / "report.html"
    html = render(page(load_run(run_folder)))
    with write_atomically(path) as file:
        file.write(html)
    return path


def score_tables(run_folder: Path) -> list[Table]:
    """Return the scores by mode and stage, and constraint-keeping and refusals, as rich tables; none before the first
    evaluation.

    Raises UserError as `write_report` does.
    """
    scores = load_scores(run_folder)
    return [table for table in (terminal_table(scores), preference_table(scores)) if table is not None]


def mixture_lines(figures: dict[str, Any]) -> list[Table | str]:
    """Return what the figures of the pack stage say of the mixture: a rich table of the sources by mode, and a line
    for each share that the recipe asks for."""
    packed = msgspec.convert(figures, PackFigures)
    return [packed_table(packed), *share_lines(packed)]
