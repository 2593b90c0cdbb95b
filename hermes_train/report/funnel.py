"""The filter's figures for the terminal: the same tables as on the report's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from data_filters.figures import FilterFigures, RejectedExample
from hermes_train.report.views.agreement import (
    OUTCOMES,
    AgreementView,
    OutcomeRow,
    agreement_view,
    sandbox_finding,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_EXAMPLE_CHARACTERS = 240


def funnel_tables(figures: FilterFigures) -> Iterator[RenderableType]:
    """Yield the funnel, an example of each rejection, what each check found in which time, rules and labels.

    Tables without rows are left out.
    """
    from rich.text import Text

    agreement = agreement_view(figures)
    tables = (_funnel(figures), _examples(figures.examples), *_outcomes(agreement), _labels(agreement))
    yield from (table for table in tables if table.row_count)
    sandbox = sandbox_finding(figures)
    if sandbox is not None:
        yield Text(sandbox + "\n")


def _funnel(figures: FilterFigures) -> Table:
    from rich.markup import escape

    table = _table("Data funnel", ("source",), ("rows",))
    for name, source in figures.sources.items():
        table.add_row(f"[bold]{escape(name)}[/bold] read", str(source.read))
        table.add_row("  kept", str(source.kept))
        for reason, count in sorted(source.rejected.items(), key=lambda item: -item[1]):
            table.add_row(f"  {escape(reason)}", str(count))
    return table


def _examples(examples: dict[str, list[RejectedExample]]) -> Table:
    from rich.markup import escape

    table = _table("A rejected row of each reason", ("reason", "row", "what was found"), ())
    for reason, rows in examples.items():
        for row in rows[:1]:
            found = row.detail or row.answer[-_EXAMPLE_CHARACTERS:]
            table.add_row(escape(reason), escape(row.id), escape(found[:_EXAMPLE_CHARACTERS]))
    return table


def _outcomes(agreement: AgreementView) -> Iterator[Table]:
    from rich.markup import escape

    names = ("rows", *(outcome.value for outcome in OUTCOMES))
    kinds = _table("Verdicts by kind of task", ("task",), names)
    for kind in agreement.kinds:
        kinds.add_row(*_cells(kind))
    yield kinds
    checks = _table("What each check found, and its time", ("check",), (*names, "time", "per row"))
    for check in agreement.checks:
        checks.add_row(*_cells(check.found), check.time, check.time_per_row)
    yield checks
    rules = _table("Verified by rule", ("rule",), ("rows",))
    for name, number in agreement.rules:
        rules.add_row(escape(name), number)
    yield rules


def _labels(agreement: AgreementView) -> Table:
    from rich.markup import escape

    columns = (
        "right, verified",
        "right, refuted",
        "wrong, verified",
        "wrong, refuted",
        "undecided",
        "agreement",
    )
    table = _table("Verdicts against labels", ("source",), columns)
    for row in agreement.labels:
        table.add_row(
            escape(row.source),
            row.right_verified,
            row.right_refuted,
            row.wrong_verified,
            row.wrong_refuted,
            row.undecided,
            row.agreement,
        )
    return table


def _cells(row: OutcomeRow) -> tuple[str, ...]:
    return (row.name, row.rows, *row.outcomes)


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    # Imported here: rich is not needed to write the page.
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
