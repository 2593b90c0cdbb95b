"""Copies of what training reads, on a fast disk of the node: each whole or not there, none removed while it is read.

<HERMES_LOCAL_CACHE>/hermes-train-<user's number>/
  lock              held for moments, by whoever takes or removes a lock of a copy
  <name>/           a copy; facts.json in it says for which steps it is, and how large its files are
  <name>.lock       held by the processes that read the copy, or by the one that makes it
  <name>.part/      a copy in the making
  <name>.<try>.word what the node's first rank tells the others, see `local_packs.py`

facts.json: {"first": 0, "end": 9001, "files": {"documents-00000.arrow": 10485760, "numbers.npy": 65664}}
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from data_filters.errors import UserError
from data_filters.files import ASIDE_SUFFIX, remove_folder_whole, write_folder_whole

VARIABLE = "HERMES_LOCAL_CACHE"
"""The setting of a site that names the disk."""

KEPT_SECONDS = 7 * 24 * 3600.0
"""How long a copy that nobody reads stays where there is room: a run that waits in a queue may come back to it."""

_SPARED_SHARE = 0.05
"""The share of the disk that copies leave free; others use it too."""
_FACTS = "facts.json"

Lock = IO[bytes]
"""An open file that is locked; closing it ends the lock, as the end of its process does."""


class CopyFacts(msgspec.Struct, frozen=True):
    """What a whole copy says of itself."""

    first: int
    """The first step that it has what is read of."""
    end: int
    """The first step that it need not have."""
    files: dict[str, int]
    """Bytes of each file."""


def local_cache_folder() -> Path | None:
    """Return the folder that this node's environment names for copies; None where it names none."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


class LocalCache:
    """The copies on this node that belong to this user."""

    def __init__(self, disk: Path) -> None:
        """`disk` is the folder that the site names. Raises UserError where copies cannot lie there."""
        self.folder = disk / f"hermes-train-{os.geteuid()}"
        try:
            # Tokens may be private, and `disk` is usually everybody's.
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{VARIABLE} is {disk}, where {socket.gethostname()} cannot make a folder ({error.strerror}); name a "
                "disk that every node has, or leave it empty"
            ) from error
        if self.folder.stat().st_uid != os.geteuid():
            raise UserError(f"{self.folder} on {socket.gethostname()} belongs to another user; remove it")

    def path(self, name: str) -> Path:
        """Return where a copy lies, or would lie."""
        return self.folder / name

    def lock(self, name: str, alone: bool) -> Lock | None:
        """Lock a copy for reading, or `alone` for making it; None while others hold it in a way that forbids that."""
        with self._locks_at_rest():
            lock = self._lock(name, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if lock is not None:
                os.utime(self._lock_path(name))
            return lock

    def admit_readers(self, lock: Lock) -> None:
        """Turn the lock of the process that made a copy into that of a reader."""
        # Between the one and the other the system lets the lock go for a moment.
        with self._locks_at_rest():
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def covers(self, name: str, first: int, end: int) -> bool:
        """Return whether a copy is there, whole, and has the steps from `first` up to the one before `end`."""
        copy = self.path(name)
        try:
            facts = msgspec.json.decode((copy / _FACTS).read_bytes(), type=CopyFacts)
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        whole = all(_size(copy / file) == size for file, size in facts.files.items())
        return whole and facts.first <= first and end <= facts.end

    def discard(self, name: str) -> None:
        """Remove a copy, if there is one; for the process that holds it alone."""
        if self.path(name).exists():
            remove_folder_whole(self.path(name))
        # Of its making, of its replacement, of its removal.
        for left in self.folder.glob(f"*{name}*{ASIDE_SUFFIX}"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def making(self, name: str, first: int, end: int) -> Iterator[Path]:
        """Give an empty folder to fill, which becomes the copy for these steps when the block ends without an error.

        For the process that holds the copy alone.
        """
        try:
            with write_folder_whole(self.path(name)) as folder:
                yield folder
                files = {path.name: path.stat().st_size for path in folder.iterdir()}
                (folder / _FACTS).write_bytes(msgspec.json.encode(CopyFacts(first, end, files)))
        except OSError:
            # What is left of it would take the room that others lack.
            self.discard(name)
            raise

    def room(self) -> int:
        """Return how many bytes copies may still take."""
        usage = shutil.disk_usage(self.folder)
        return usage.free - round(_SPARED_SHARE * usage.total)

    def make_room(self, needed: int) -> int:
        """Remove copies that nobody has read for KEPT_SECONDS, and others, those longest unread first, until `needed`
        bytes have room. What is read or made stays. Returns the room that there is then, in bytes."""
        long_ago = time.time() - KEPT_SECONDS
        for last_read, lock_path in sorted(self._by_time("*.lock")):
            if last_read < long_ago or self.room() < needed:
                self.remove_unread(lock_path.stem)
        for written, word in self._by_time("*.word"):
            if written < long_ago:
                word.unlink(missing_ok=True)
        return self.room()

    def remove_all_unread(self, prefix: str) -> None:
        """Remove the copies whose names begin so, but those that are read or made."""
        for lock_path in self.folder.glob(f"{prefix}*.lock"):
            self.remove_unread(lock_path.stem)

    def remove_unread(self, name: str) -> None:
        """Remove a copy and what was left of its making; nothing where it is read or made."""
        with self._locks_at_rest():
            lock = self._lock(name, fcntl.LOCK_EX)
            if lock is None:
                return
            with lock:
                self.discard(name)
                self._lock_path(name).unlink()

    @contextmanager
    def _locks_at_rest(self) -> Iterator[None]:
        """Let no other process take a lock within the block, or remove the file of one."""
        with (self.folder / "lock").open("wb") as everything:
            fcntl.flock(everything, fcntl.LOCK_EX)
            yield

    def _lock(self, name: str, kind: int) -> Lock | None:
        lock = self._lock_path(name).open("ab")
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def _lock_path(self, name: str) -> Path:
        return self.folder / f"{name}.lock"

    def _by_time(self, pattern: str) -> Iterator[tuple[float, Path]]:
        """Yield the files of a pattern behind the times of their last change."""
        for path in self.folder.glob(pattern):
            # Another process may have removed it since.
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime, path


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
