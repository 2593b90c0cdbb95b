"""A text file that grows by lines, on a disk that may have no room for a while.

Training goes on without room until there is a checkpoint to save, and then waits for it: a line must not end it before.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a write that found no room: on the disk, in the quota, below the limit of a file's size."""


class LineFile:
    """Adds lines to a file; those that find no room are held until there is some."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: list[str] = []

    def add(self, line: str) -> None:
        """Add a line, after those that are held."""
        self._held.append(line + "\n")
        self.write_held()

    def write_held(self) -> None:
        """Write what is held, if there is room now. Raises OSError for whatever else goes wrong."""
        if not self._held:
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(self._held)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # A part of a line may have found room.
            if self.path.exists():
                os.truncate(self.path, size)
        else:
            self._held.clear()
