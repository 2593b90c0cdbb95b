"""Room on the disk, looked at before a checkpoint is written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from hermes_train.training import ranks
from hermes_train.training.resume import checkpoints
from hermes_train.training.watch import signals
from hermes_train.training.watch.stage_log import DiskFullError

WAIT_SECONDS = 1800.0
"""How long training waits for room: the steps since the last checkpoint lie in memory only, and end with it."""

_LOOK_AGAIN_SECONDS = 2.0


class _Room(IntEnum):
    """What rank 0 found; the greatest counts where all ranks compare."""

    ENOUGH = 0
    WAIT = 1
    GIVE_UP = 2


def await_room(folder: Path, warn: Callable[[str], None], alive: Callable[[], None] = lambda: None) -> None:
    """Return when there is room in `folder` for a checkpoint as large as its last whole one; before the first, at once.

    Every rank has to call this; rank 0 looks. While there is no room it warns once and looks again; after
    WAIT_SECONDS, or when a signal asks the run to stop, DiskFullError is raised on every rank. `alive` is called at
    each look: to wait for room is not to hang.
    """
    last = checkpoints.latest_complete(folder) if ranks.is_main() else None
    needed = checkpoints.bytes_of(last) if last else 0
    started, warned = time.monotonic(), False
    while True:
        alive()
        free = shutil.disk_usage(folder).free
        found = _Room.ENOUGH
        if free < needed:
            patient = time.monotonic() - started < WAIT_SECONDS and signals.requested() is None
            found = _Room.WAIT if patient else _Room.GIVE_UP
        agreed = ranks.largest(found)
        if agreed == _Room.ENOUGH:
            return
        told = f"{folder} has {free / 1e9:.2f} GB free, and a checkpoint takes {needed / 1e9:.2f} GB"
        if agreed == _Room.GIVE_UP:
            told = f"{told}; make room and start the same command again: it goes on after {last}"
            # Rank 0's: it alone has looked for the last checkpoint.
            raise DiskFullError(ranks.gathered_text(told)[0])
        if ranks.is_main() and not warned:
            warn(f"{told}; training waits up to {WAIT_SECONDS / 60:.0f} min for room")
            warned = True
        time.sleep(_LOOK_AGAIN_SECONDS)
