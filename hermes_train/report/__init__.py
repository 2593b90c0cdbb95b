"""The report of a run: one self-contained page, and the table of scores for the terminal.

    files --load--> Run --views--> Page --template--> report.html

It can be written at any moment of a run: what is not done yet is shown as not done, never as zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data_filters.files import write_atomically
from hermes_train.report.load import load_run, load_scores
from hermes_train.report.page import page, render
from hermes_train.report.terminal import terminal_table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["score_table", "write_report"]


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run's folder, whole or not at all, and return its path.

    Raises UserError when the folder is missing or a file in it is not what its stage writes.
    """
    path = run_folder / "report.html"
    html = render(page(load_run(run_folder)))
    with write_atomically(path) as file:
        file.write(html)
    return path


def score_table(run_folder: Path) -> Table | None:
    """Return the scores by mode and stage as a rich table; None before the first evaluation.

    Raises UserError as `write_report` does.
    """
    return terminal_table(load_scores(run_folder))
