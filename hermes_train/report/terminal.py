"""The tables for the terminal: scores, and what each source gives to the mixture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hermes_train.report.notation import count
from hermes_train.report.records import PackFigures, Scores
from hermes_train.report.views.packs import mixture_shares, packed_source
from hermes_train.report.views.scores import preference_caption, preference_rows, score_rows

if TYPE_CHECKING:
    from rich.table import Table

_NUMBER_COLUMNS = {
    "accuracy": 8,
    "95 % interval": 9,
    "asked form": 7,
    "mode obeyed": 7,
    "unclosed": 8,
    "mean tokens": 6,
}
"""Columns and their least width: that of the widest number, since numbers must not be broken."""


def terminal_table(scores: Mapping[str, Scores]) -> Table | None:
    """Return the scores by mode and stage, a line between the modes; None before the first evaluation."""
    # Imported here: rich is not needed to write the page.
    rows = score_rows(scores)
    if not rows:
        return None
    table = _narrow_table(f"Scores by stage and mode, {rows[0].problems} problems")
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
            row.obeyed,
            row.unclosed,
            row.mean_tokens,
            style="bold" if row.is_last else None,
            end_section=row.is_last,
        )
    return table


def preference_table(scores: Mapping[str, Scores]) -> Table | None:
    """Return constraint-keeping and refusals by mode and stage; None before the first evaluation."""
    rows = preference_rows(scores)
    if not rows:
        return None
    table = _narrow_table(preference_caption(scores))
    table.add_column("mode", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for name in ("form kept", "refused, harmless", "refused, rightly"):
        table.add_column(f"{name}\n(95 %)", justify="right")
    for row in rows:
        table.add_row(
            row.mode.value,
            row.model,
            _with_interval(row.constraints_kept),
            _with_interval(row.refused_harmless),
            _with_interval(row.refused_rightly),
            style="bold" if row.is_last else None,
            end_section=row.is_last,
        )
    return table


def _with_interval(told: tuple[str, str]) -> str:
    share, interval = told
    return f"{share} ({interval})"


def packed_table(figures: PackFigures) -> Table:
    """Return what each source gives to the mixture in each mode."""
    seen = sum(source.seen_tokens for source in figures.sources)
    table = _narrow_table(f"Mixture: {count(figures.documents)} documents, {count(figures.tokens)} tokens")
    table.add_column("source", overflow="fold")
    table.add_column("mode", no_wrap=True)
    for name in ("rows", "documents", "taken", "times", "tokens", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("left out", overflow="fold")
    for source in figures.sources:
        row = packed_source(source, seen)
        table.add_row(
            row.name,
            row.mode,
            row.rows,
            row.documents,
            row.taken,
            row.times,
            row.tokens,
            row.token_share,
            row.dropped,
        )
    return table


def share_lines(figures: PackFigures) -> list[str]:
    """Return a line for each share that the recipe asks for: what was wanted and what it is."""
    return [
        f"{share.name}: {share.got} of the {figures.share_of}, {share.wanted} wanted"
        + (" [yellow](falls short)[/yellow]" if share.falls_short else "")
        for share in mixture_shares(figures)
    ]


def _narrow_table(title: str) -> Table:
    """Return a table without lines between its columns, and with little room there: it fits into a terminal's 80."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
