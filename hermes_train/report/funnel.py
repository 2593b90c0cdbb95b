"""The filter's figures for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_filters.figures import FilterFigures

if TYPE_CHECKING:
    from rich.table import Table


def funnel_table(figures: FilterFigures) -> Table:
    """Return one line per source and reason: how many rows were read, kept and rejected, and why."""
    # Imported here: rich is not needed to write the page.
    from rich.markup import escape
    from rich.table import Table

    table = Table("source", "rows", title="Data funnel", title_justify="left")
    table.columns[1].justify = "right"
    for name, source in figures.sources.items():
        table.add_row(f"[bold]{escape(name)}[/bold] read", str(source.read))
        table.add_row("  kept", str(source.kept))
        for reason, count in sorted(source.rejected.items(), key=lambda item: -item[1]):
            table.add_row(f"  {reason}", str(count))
    return table
