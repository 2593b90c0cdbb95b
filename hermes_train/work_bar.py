"""A bar on the terminal for the work of a stage."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress


class WorkBar:
    """A bar for work that reports (done, total); shown on a terminal only."""

    def __init__(self, console: Console, description: str) -> None:
        self._progress = Progress(console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task(description, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return self._update

    def _update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()
