"""The table of scores for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hermes_train.report.records import Scores
from hermes_train.report.views.scores import score_rows

if TYPE_CHECKING:
    from rich.table import Table

_NUMBER_COLUMNS = (
    "accuracy",
    "95 % interval",
    "asked form",
    "unclosed",
    "mean tokens",
    "refusals",
    "n",
)


def terminal_table(scores: Mapping[str, Scores]) -> Table | None:
    """Return the scores by mode and stage, a line between the modes; None before the first evaluation."""
    # Imported here: rich is not needed to write the page.
    from rich import box
    from rich.table import Table

    rows = score_rows(scores)
    if not rows:
        return None
    # Without lines between its columns the table fits into 80 of a terminal's.
    table = Table(title="Scores by stage and mode", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("mode", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for name in _NUMBER_COLUMNS:
        table.add_column(name, justify="right", min_width=5)
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
            row.problems,
            style="bold" if row.is_last else None,
            end_section=row.is_last,
        )
    return table
