"""A process beside this one that compares formulas and is killed when it takes too long.

math-verify's own alarm neither works outside the main thread nor tells a timeout from a wrong answer. What the process
does is told in `worker`.
"""

from __future__ import annotations

import atexit
import os
import threading
from enum import StrEnum

import msgspec

from data_filters.verifiers.line_process import LineProcess
from data_filters.verifiers.math.exact_values import Agreement

_MODULE = "data_filters.verifiers.math.worker"
_GRACE_SECONDS = 5.0
"""The process kills what takes too long by itself; past this it is taken for stuck and killed as well."""


class WorkerResult(StrEnum):
    """What became of one comparison."""

    COMPARED = "compared"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"


class Views(msgspec.Struct, frozen=True):
    """The end of a comparison: what the two comparators say, or what went wrong."""

    result: WorkerResult
    problem: str = ""
    library: bool | None = None
    """Whether math-verify takes the answer for the reference; None where it cannot read one of them."""
    reversed: bool | None = None
    """The same with the two exchanged."""
    unreadable: str = ""
    """Which of the two math-verify cannot read: "gold" or "given"."""
    numeric: Agreement = Agreement.UNDECIDED
    """How the values of both compare at a few points, where both can be evaluated."""


class MathWorker:
    """One comparing process, started at the first question and again after it is gone.

    Threads may share it: they wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = LineProcess(_MODULE)
        self._decoder = msgspec.json.Decoder(Views)

    def compare(self, gold: str, given: str, seconds: float, with_library: bool = True) -> Views:
        """Compare two normalised texts; what takes more than `seconds` is killed and the result is a timeout.

        Without the library only our own evaluation is asked, which has limits of its own.
        Raises RuntimeError where the process cannot be started at all.
        """
        question = {
            "gold": _encodable(gold),
            "given": _encodable(given),
            "with_library": with_library,
            "seconds": seconds,
        }
        with self._lock:
            line = msgspec.json.encode(question) + b"\n"
            # The process passes questions on and compares nothing: when it ends, the question is not the cause.
            reply = self._reply(line, seconds) or self._reply(line, seconds)
        if reply is None:
            return Views(WorkerResult.CRASHED, "the math process ended in the middle of a comparison")
        return self._decoder.decode(reply)

    def start(self) -> None:
        """Start the process now, where the time it takes is not counted. Raises RuntimeError."""
        with self._lock:
            self._process.start()

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._lock:
            self._process.kill()

    def _reply(self, question: bytes, seconds: float) -> bytes | None:
        """The reply to a question; None where the process is gone or stuck, which ends it."""
        try:
            return self._process.exchange(question, seconds + _GRACE_SECONDS)
        except TimeoutError:
            return None


def _encodable(text: str) -> str:
    """`text` with a replacement for lone surrogates, which no pipe carries."""
    return text.encode("utf-8", "replace").decode("utf-8")


_workers: dict[int, MathWorker] = {}


def shared_worker() -> MathWorker:
    """The math process of this process. A forked child gets one of its own."""
    own = os.getpid()
    if own not in _workers:
        _workers.clear()
        _workers[own] = MathWorker()
        atexit.register(close)
    return _workers[own]


def close() -> None:
    """End this process's math process, if it has one."""
    worker = _workers.get(os.getpid())
    if worker is not None:
        worker.close()
