"""Packs read from a disk of the node: before the first step, the node's first rank copies what its ranks will read.

On a cluster the packs lie on a shared file system, where thousands of ranks that read here and there would be in each
other's way. The other ranks of the node wait for the first one's word:

    {"copy": "5f0c2a91d3b7e604-90ab1c22d3e4f501"}

A copy serves every try of the stage that gives the node the same ranks. It goes when the stage is done.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import psutil
from rich.console import Console

from data_filters.errors import RunFailedError
from data_filters.files import write_atomically
from hermes_train.packing.dataset import PackedData
from hermes_train.packing.held_out import HELD_OUT_INDEX
from hermes_train.packing.node_share import NodeShare
from hermes_train.packing.pack_index import INDEX
from hermes_train.packing.store import STORE_FILE, PackIndex
from hermes_train.packing.store_copy import copy_part, expected_bytes
from hermes_train.runs import file_fingerprint, fingerprint
from hermes_train.training import ranks
from hermes_train.training.local_cache import LocalCache, Lock
from hermes_train.training.timeouts import collective_timeout
from hermes_train.training.watch import signals
from hermes_train.training.watch.line_file import NO_ROOM

_TELL_SECONDS = 60.0
"""Between two lines about a copy in the making."""
_END_SECONDS = 30.0
"""How long the other ranks of a node may take to let the copy go, once all ranks have trained to the end."""


@dataclass(frozen=True)
class Telling:
    """How the user is told."""

    console: Console
    warn: Callable[[str], None]
    stage: str

    def say(self, text: str) -> None:
        """Tell it once, whatever the number of nodes."""
        if ranks.is_main():
            self.console.print(f"{self.stage}: {text}", highlight=False)


class _Word(msgspec.Struct, frozen=True):
    """What a node's first rank tells the others."""

    copy: str | None
    """The name of the copy to read; None where the shared folder is to be read."""


@contextmanager
def packs_on_node(
    disk: Path | None, packs: Path, share: NodeShare, telling: Telling
) -> Iterator[Path | None]:
    """Give a copy of what this node reads of the folder `packs`, on `disk`, until the block ends.

    None stands for the shared folder itself: where no disk is named, or where the copy has no room, which is told.
    The copy is removed when the block ends without an error, and otherwise kept for the next try. Every rank has to
    come here, before the ranks are joined. Raises UserError where the disk cannot be used, and RunFailedError where
    the node's first rank gives no sign of life.
    """
    if disk is None:
        yield None
        return
    copying = _Copying(LocalCache(disk), packs, share, telling)
    if ranks.local_rank() > 0:
        word = copying.awaited_word()
        with copying.locked(alone=False):
            yield copying.place(word)
        return
    with copying.locked(alone=True) as lock:
        word = copying.provide()
        copying.cache.admit_readers(lock)
        with copying.said(word):
            yield copying.place(word)
    copying.remove()


class _Copying:
    """The copy that one node reads, as the ranks of the node see it."""

    def __init__(self, cache: LocalCache, packs: Path, share: NodeShare, telling: Telling) -> None:
        self.cache = cache
        self._packs = packs
        self._share = share
        self._telling = telling
        self._of_packs = _packs_fingerprint(packs)
        # Not by steps: a copy that has more of them than are left serves as well.
        dealt = [share.seed, asdict(share.dealing), share.copies, [*share.ranks]]
        self._name = f"{self._of_packs}-{fingerprint(dealt)}"
        self._word_path = cache.folder / f"{self._name}.{_this_try()}.word"

    def place(self, word: _Word) -> Path | None:
        """Return the folder that a word names."""
        return self.cache.path(word.copy) if word.copy else None

    @contextmanager
    def locked(self, alone: bool) -> Iterator[Lock]:
        """Hold the copy's lock within the block. An earlier try of the run may have it until its ranks have ended."""
        taken: list[Lock] = []

        def take() -> bool:
            lock = self.cache.lock(self._name, alone)
            taken.extend([lock] if lock else [])
            return bool(taken)

        started = time.time()
        held = f"another process holds {self.cache.path(self._name)}.lock"
        _wait_until(take, lambda: started, f"{held}; end the run that it belongs to")
        with taken[0] as lock:
            yield lock

    def provide(self) -> _Word:
        """Find or make the copy. Returns what is to be read, and tells the user."""
        copy = self.cache.path(self._name)
        if self.cache.covers(self._name, self._share.first, self._share.end):
            self._telling.say(f"packs are read from {copy}, as copied before")
            return _Word(self._name)
        self._word_path.touch()
        self.cache.discard(self._name)
        data = PackedData(self._packs, pad_token_id=0)
        numbers = self._documents(data)
        needed = expected_bytes(data.store, numbers)
        room = self.cache.make_room(needed)
        if room < needed:
            return self._without_copy(
                f"{needed / 1e9:.2f} GB are needed and {max(room, 0) / 1e9:.2f} may be taken"
            )
        started = time.perf_counter()
        try:
            with self.cache.making(self._name, self._share.first, self._share.end) as folder:
                copy_part(self._packs, numbers, folder, self._progress())
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return self._without_copy(f"{needed / 1e9:.2f} GB were about to be copied: {error.strerror}")
        self._telling.say(
            f"copied {needed / 1e9:.2f} GB of packs ({len(numbers):,} of {len(data.store):,} documents) to {copy} in "
            f"{time.perf_counter() - started:.0f} s"
        )
        return _Word(self._name)

    @contextmanager
    def said(self, word: _Word) -> Iterator[None]:
        """Let the other ranks of the node know within the block."""
        with write_atomically(self._word_path, "wb") as file:
            file.write(msgspec.json.encode(word))
        try:
            yield
        finally:
            self._word_path.unlink(missing_ok=True)

    def awaited_word(self) -> _Word:
        """Return what the node's first rank says, once it does."""
        words: list[_Word] = []
        started = time.time()

        def heard() -> bool:
            content = self._word_path.read_bytes() if self._word_path.exists() else b""
            words.extend([msgspec.json.decode(content, type=_Word)] if content else [])
            return bool(words)

        def sign_of_life() -> float:
            return max(started, self._word_path.stat().st_mtime) if self._word_path.exists() else started

        _wait_until(
            heard,
            sign_of_life,
            f"nothing was added to {self.cache.path(self._name)}; is a file system stuck?",
        )
        return words[0]

    def remove(self) -> None:
        """Remove the copy, and those that earlier tries left of the same packs, once the other ranks are done."""
        deadline = time.monotonic() + _END_SECONDS
        self.cache.remove_all_unread(self._of_packs)
        while self.cache.path(self._name).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
            self.cache.remove_all_unread(self._of_packs)

    def _documents(self, data: PackedData) -> np.ndarray:
        """Return the numbers of the documents that the node reads, int64, ascending."""
        # TRL looks at the first row, whoever it is dealt to.
        packs = np.union1d(self._share.packs(data.attention_works()), [0])
        read = [data.index.documents(pack) for pack in packs]
        held_out = self._packs / HELD_OUT_INDEX
        if held_out.exists():
            read.append(PackIndex.load(held_out).order)
        return np.unique(np.concatenate(read))

    def _without_copy(self, reason: str) -> _Word:
        self._telling.warn(
            f"{socket.gethostname()} has no room for packs in {self.cache.folder} ({reason}); its ranks read them from "
            f"{self._packs}"
        )
        return _Word(None)

    def _progress(self) -> Callable[[int, int], None]:
        told = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal told
            # Training would notice only after all is copied; what is lost here is minutes.
            signals.obey_requested()
            self._word_path.touch()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                self._telling.say(f"copied {done / 1e9:.2f} of {total / 1e9:.2f} GB of packs")

        return report


def _packs_fingerprint(packs: Path) -> str:
    files = [path for name in (STORE_FILE, INDEX, HELD_OUT_INDEX) if (path := packs / name).exists()]
    return fingerprint([str(packs.resolve()), *map(file_fingerprint, files)])


def _this_try() -> str:
    """Return what the ranks of a node have in common, and no other try has: their launcher."""
    launcher = os.getppid()
    # 0 stands for a process outside of this container.
    began = psutil.Process(launcher).create_time() if launcher else 0.0
    return fingerprint([launcher, began, os.environ.get("TORCHELASTIC_RESTART_COUNT")])


def _wait_until(condition: Callable[[], bool], sign_of_life: Callable[[], float], told: str) -> None:
    """Wait for `condition`. Raises RunFailedError where `sign_of_life`, the time of the last one, is longer ago than
    ranks wait for each other."""
    patience = collective_timeout().total_seconds()

    def met() -> bool:
        if condition():
            return True
        if time.time() - sign_of_life() > patience:
            raise RunFailedError(
                f"rank {ranks.rank()} on {socket.gethostname()} waited {patience / 60:.1f} min: {told}"
            )
        return False

    ranks.wait_until(met)
