"""`<stage>/log.txt`: what a person wants to know of a training stage, in a line each; the last says why it ended.

A file of a run that was stopped by the scheduler:

    2026-11-22T09:14:03+00:00 start: sft on 192 ranks
    2026-11-22T09:15:40+00:00 saved: checkpoint-500
    2026-11-22T09:20:11+00:00 end (signal): stopped by SIGUSR1 after step 731, which is saved

A process that begins where the one before it left no last word says so first.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from data_filters.errors import RunFailedError, UserError
from hermes_train.training.watch.faults import Fault, fault_of
from hermes_train.training.watch.line_file import NO_ROOM, LineFile
from hermes_train.training.watch.signals import StopSignal

LOG_FILE = "log.txt"
_END_LINE = re.compile(r"\S+ end \((?P<reason>\w+)\): (?P<text>.*)")


class Entry(StrEnum):
    """What a line tells of."""

    START = "start"
    RESUME = "resume"
    WARNING = "warning"
    SAVED = "saved"
    MODEL = "model"
    """Which step the finished model is of."""


class EndReason(StrEnum):
    """Why a stage, or one of its processes, ended."""

    FINISHED = "finished"
    SIGNAL = "signal"
    CTRL_C = "ctrl_c"
    LOSS = "loss"
    DISK = "disk"
    ERROR = "error"
    RANK_LOST = "rank_lost"
    MACHINE = "machine"
    HUNG = "hung"
    SILENT = "silent"


class LossStoppedError(RunFailedError):
    """The loss is no number, or leapt, and the recipe says to stop."""


class DiskFullError(RunFailedError):
    """There is no room for what has to be saved."""


@dataclass(frozen=True)
class End:
    """The last line of a log."""

    reason: EndReason
    text: str


class StageLog:
    """The log of one training stage. Rank 0 writes it; the rank that fails writes why.

    A line that finds no room on the disk comes before the next that does; what must be known at once is told on the
    console too.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_FILE
        self._lines = LineFile(self.path)

    def write(self, entry: Entry, text: str) -> None:
        """Add a line; a text of several lines becomes one."""
        self._add(str(entry), text)

    def open(self, entry: Entry, text: str) -> None:
        """Add the line with which a process begins; say so first where the one before it left no last word."""
        if self.path.exists() and self.end() is None:
            self._add(
                f"end ({EndReason.SILENT})",
                "the process left no word: kill -9, out of memory, or the machine stopped",
            )
        self._add(str(entry), text)

    def close(self, reason: EndReason, text: str) -> None:
        """Add the last line. The first reason given stays: what other ranks run into afterwards follows from it."""
        if self.end() is None:
            self._add(f"end ({reason})", text)

    def end(self) -> End | None:
        """Return why the stage ended; None while it runs, where it left no word, and where there is no log."""
        if not self.path.exists():
            return None
        *_, last = ["", *self.path.read_text(encoding="utf-8").splitlines()]
        found = _END_LINE.fullmatch(last)
        return End(EndReason(found["reason"]), found["text"]) if found else None

    @contextmanager
    def last_word(self, rank: int) -> Iterator[None]:
        """Write why the block ended where it ends by an exception, which goes on."""
        try:
            yield
        except BaseException as error:  # a log that misses some endings would be trusted for none
            self.close(*_reason_of(error, rank))
            raise

    def _add(self, kind: str, text: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._lines.add(f"{now} {kind}: {' '.join(text.split())}")


_REASON_OF_FAULT = {
    Fault.OWN: EndReason.ERROR,
    Fault.OTHER_RANK: EndReason.RANK_LOST,
    Fault.MACHINE: EndReason.MACHINE,
}


def node_name() -> str:
    """Return the name of this machine, as Slurm calls it where it does."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _reason_of(error: BaseException, rank: int) -> tuple[EndReason, str]:
    text = str(error)
    match error:
        case StopSignal():
            return EndReason.SIGNAL, text
        case KeyboardInterrupt():
            return EndReason.CTRL_C, "stopped by Ctrl-C"
        case LossStoppedError():
            return EndReason.LOSS, text
        case DiskFullError():
            return EndReason.DISK, text
        case OSError(errno=number) if number in NO_ROOM:
            return EndReason.DISK, text
        case RunFailedError() | UserError():
            return EndReason.ERROR, text
        case _:
            told = f"rank {rank} on {node_name()}: {type(error).__name__}: {text}"
            return _REASON_OF_FAULT[fault_of(error)], told
