"""Prints the status of a run, once or again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from data_filters.errors import UserError
from hermes_train.cluster.status import read_status
from hermes_train.cluster.status.screen import status_parts


def show_status(run: Path, as_json: bool, every: float | None) -> None:
    """Print the status of `run`, as JSON where asked; `every` so many seconds until Ctrl-C. Raises UserError."""
    if as_json and every is not None:
        raise UserError("--json prints the status once; ask again for another, without --watch")
    if as_json:
        # A loss that is no number becomes null: JSON has no other word for it.
        typer.echo(msgspec.json.format(msgspec.json.encode(read_status(run)), indent=1))
    elif every is None:
        _print(run, Console())
    else:
        _watch(run, every)


def _print(run: Path, console: Console) -> None:
    now = datetime.now(UTC)
    for part in status_parts(read_status(run, now), now):
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def _watch(run: Path, every: float) -> None:
    console = Console()
    with suppress(KeyboardInterrupt):
        if not console.is_terminal:
            while True:
                _print(run, console)
                time.sleep(every)
        with Live(_screen(run), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(_screen(run), refresh=True)


def _screen(run: Path) -> Group:
    now = datetime.now(UTC)
    looked = Text(f"looked at {now.astimezone():%H:%M:%S}; Ctrl-C leaves, the run goes on", style="dim")
    return Group(*status_parts(read_status(run, now), now), looked)
