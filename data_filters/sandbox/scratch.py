"""The one folder that an inmate may write to: empty at the start of every run."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from data_filters.sandbox import root, syscalls
from data_filters.sandbox.isolation import Isolation
from data_filters.sandbox.layers import Layer

_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC | syscalls.MS_NOATIME


class MemoryScratch:
    """A file system in memory, of a bounded size; a fresh one for each run that changed it."""

    def __init__(self, path: str, user: int, group: int) -> None:
        self.path = path
        self._folder = Path(path)
        self._options = f"mode=700,uid={user},gid={group}"
        self._limits: tuple[int, int] | None = None
        self._untouched: tuple[int, ...] = ()

    def prepare(self, size: int, files: int) -> None:
        """Have it empty, and hold so many bytes and so many files. Raises OSError."""
        if self._limits == (size, files) and self._state() == self._untouched:
            return
        if self._limits is not None:
            self._limits = None
            syscalls.unmount(self.path)
        # The folder itself is one of the files that are counted.
        syscalls.mount(
            "tmpfs", self.path, "tmpfs", _FLAGS, f"size={size},nr_inodes={files + 1},{self._options}"
        )
        self._limits = (size, files)
        self._untouched = self._state()

    def clear(self) -> None:
        """Nothing: letting a file system go takes no time, however much is in it."""

    def try_out(self) -> None:
        """Raises OSError where no file system can be mounted."""
        self.prepare(1 << 20, 16)

    def _state(self) -> tuple[int, ...]:
        """All that a program could change: the folder itself, and the room that is left in it."""
        folder, space = self._folder.stat(), os.statvfs(self.path)
        times = folder.st_atime_ns, folder.st_mtime_ns, folder.st_ctime_ns
        return folder.st_dev, folder.st_ino, folder.st_mode, *times, space.f_bfree, space.f_ffree


class FolderScratch:
    """A folder on disk, where no file system can be mounted: its files are bounded in size, not in number."""

    def __init__(self, path: str, user: int, group: int) -> None:
        self.path = path
        self._owner = user, group

    def prepare(self, size: int = 0, files: int = 0) -> None:
        """Have it empty; the bounds are not kept. Raises OSError."""
        folder = Path(self.path)
        if folder.exists():
            folder.chmod(0o700)
            _empty(self.path)
            return
        folder.mkdir(mode=0o700)
        if self._owner != (os.geteuid(), os.getegid()):
            os.chown(self.path, *self._owner)

    def clear(self) -> None:
        """Empty it in the time of the run that filled it, and not of the next. Raises OSError."""
        self.prepare()

    def remove(self) -> None:
        """Take it away with what is in it. Raises OSError."""
        if Path(self.path).exists():
            self.prepare()
            Path(self.path).rmdir()


def find_scratch(isolation: Isolation, folder: FolderScratch) -> MemoryScratch | FolderScratch:
    """The best scratch folder that the server can have; `folder` is the one on disk."""
    if not isolation.has(Layer.MOUNT_NAMESPACE):
        isolation.off[Layer.SCRATCH] = "needs the mount namespace; a folder on disk is used"
        return folder
    if isolation.has(Layer.READ_ONLY_ROOT):
        folder = FolderScratch(root.SCRATCH, isolation.user, isolation.group)
    else:
        folder.prepare()
    memory = MemoryScratch(folder.path, isolation.user, isolation.group)
    return memory if isolation.attempt(Layer.SCRATCH, memory.try_out) else folder


def _empty(folder: str) -> None:
    """Remove what a program left, however deep, and whatever rights it took away.

    Folders within folders are moved to the top first: their paths may be longer than the kernel takes.
    """
    names = (f"{folder}/{os.urandom(8).hex()}-{number}" for number in itertools.count())
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink()
                continue
            Path(entry.path).chmod(0o700)
            for inner in list(os.scandir(entry.path)):
                if inner.is_dir(follow_symlinks=False):
                    Path(inner.path).chmod(0o700)
                    Path(inner.path).rename(next(names))
                else:
                    Path(inner.path).unlink()
            Path(entry.path).rmdir()
