"""How far tasks are that run elsewhere, told by the marks that they leave when they are done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[int, int], None]
"""Called with the number of finished tasks and the number of all tasks."""

_PROGRESS_SECONDS = 0.25


@contextmanager
def reported_progress(progress: Progress | None, logs: Path, tasks: int) -> Iterator[None]:
    """Watch the marks of finished tasks in datatrove's folder of logs and pass their number on, at the latest when the
    work is done."""
    if progress is None:
        yield
        return
    completions = logs / "completions"
    done = threading.Event()

    def watch(report: Progress) -> None:
        while not done.wait(_PROGRESS_SECONDS):
            report(_finished(completions), tasks)

    watcher = threading.Thread(target=watch, args=(progress,), daemon=True)
    watcher.start()
    try:
        yield
        done.set()
        watcher.join()
        progress(_finished(completions), tasks)
    finally:
        done.set()
        watcher.join()


def _finished(completions: Path) -> int:
    return sum(1 for _ in completions.iterdir()) if completions.is_dir() else 0
