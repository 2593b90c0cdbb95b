"""The table of scores for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hermes_train.report.records import Scores
from hermes_train.report.views.scores import score_rows

if TYPE_CHECKING:
    from rich.table import Table

_NUMBER_COLUMNS = {
    "accuracy": 8,
    "95 % interval": 9,
    "asked form": 7,
    "unclosed": 8,
    "mean tokens": 6,
    "refusals": 8,
}
"""Columns and their least width: that of the widest number, since numbers must not be broken."""


def terminal_table(scores: Mapping[str, Scores]) -> Table | None:
    """Return the scores by mode and stage, a line between the modes; None before the first evaluation."""
    # Imported here: rich is not needed to write the page.
    from rich import box
    from rich.table import Table

    rows = score_rows(scores)
    if not rows:
        return None
    # Without lines between its columns, and with little room there, the table fits into a terminal's 80.
    table = Table(
        title=f"Scores by stage and mode, {rows[0].problems} problems",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("mode", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for name, width in _NUMBER_COLUMNS.items():
        table.add_column(name, justify="right", min_width=width)
    for row in rows:
        table.add_row(
            row.mode.value,
            row.model,
            row.accuracy,
            row.interval,
            row.asked_form,
            row.unclosed,
            row.mean_tokens,
            row.refusals,
            style="bold" if row.is_last else None,
            end_section=row.is_last,
        )
    return table
