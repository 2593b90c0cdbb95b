"""End what an inmate left, where no process namespace does it.

The server is the parent of every descendant whose own parent has ended.
"""

from __future__ import annotations

import os
import signal
import time

_SECONDS = 5.0


def end_children(processes: int) -> None:
    """End all children of this process, and theirs as they become ours. `processes` is the opened folder /proc.

    Raises OSError when some are left after five seconds.
    """
    deadline = time.monotonic() + _SECONDS
    while _has_children():
        for child in _children(processes):
            os.kill(child, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise OSError("a program left processes that do not end")
        time.sleep(0.001)


def _has_children() -> bool:
    """Whether there are any; those that have ended are let go of first."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children(processes: int) -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir(processes) if name.isdigit() and _parent(processes, name) == own]


def _parent(processes: int, name: str) -> int | None:
    try:
        file = os.open(f"{name}/stat", os.O_RDONLY, dir_fd=processes)
    except OSError:
        return None  # it has ended in the meantime
    try:
        # 4321 (a name) S 17 4321 ...
        return int(os.read(file, 4096).rpartition(b")")[2].split()[1])
    except OSError:
        return None
    finally:
        os.close(file)
