"""Signals that ask a run to stop: noted while a training step is at work, obeyed when its state is saved.

A scheduler gives notice before it takes the machine away: Slurm sends SIGTERM, or what `--signal=USR1@300` names.
Outside of training nothing but the work in progress is lost, and the process stops at once, just as after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_STOPPED = 75
"""The exit code of a run that a signal stopped and the same command continues: EX_TEMPFAIL of sysexits.h."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""The signals that are obeyed. Ctrl-C (SIGINT) stays with Python: it stops at once."""


class StopSignal(KeyboardInterrupt):
    """A signal asked the run to stop; the text says which, and where.

    Libraries that clean up after Ctrl-C do so after this too.
    """


class _Requests:
    """What this process was asked. There is one, since signals belong to the process."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.deferred = False
        self.process = os.getpid()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; raise StopSignal unless that is deferred."""
        if os.getpid() != self.process:
            # A forked worker has inherited this handler; it ends as it would without.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.received = signal.Signals(number)
        if not self.deferred:
            raise StopSignal(f"stopped by {self.received.name}")


_requests = _Requests()


@contextmanager
def stop_signals() -> Iterator[None]:
    """Obey STOP_SIGNALS within the block: StopSignal is raised at once, or at the end of `deferred`."""
    global _requests
    before = _requests
    _requests = _Requests()
    handlers = {number: signal.signal(number, _requests.handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _requests = before


@contextmanager
def deferred() -> Iterator[None]:
    """Only note signals within the block, which asks `requested` when it suits. Raises StopSignal at its end."""
    requests, before = _requests, _requests.deferred
    requests.deferred = True
    try:
        yield
    finally:
        requests.deferred = before
    if requests.received is not None and not requests.deferred:
        raise StopSignal(f"stopped by {requests.received.name}")


def requested() -> signal.Signals | None:
    """Return the signal that asked this process to stop, or None."""
    return _requests.received


def obey_requested() -> None:
    """Raise StopSignal where a signal asked this process to stop: for what may stop at once within `deferred`."""
    if (received := requested()) is not None:
        raise StopSignal(f"stopped by {received.name}")
