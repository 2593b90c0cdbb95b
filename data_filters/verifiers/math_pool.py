"""A math-verify process beside this one that is killed when it takes too long.

A thread cannot be killed, and math-verify's own alarm neither works outside the main thread nor tells a
timeout from a wrong answer. A plain child process, in place of a process pool, also starts from daemonic
workers and from processes that hold a GPU or threads.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_WORKER_FILE = Path(__file__).with_name("math_worker.py")
_START_SECONDS = 120.0


class Comparison(StrEnum):
    """What became of one symbolic comparison."""

    EQUAL = "equal"
    DIFFERENT = "different"
    GOLD_UNREADABLE = "gold_unreadable"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


@dataclass(frozen=True)
class ComparisonResult:
    """The end of a comparison, and what went wrong, if anything."""

    comparison: Comparison
    detail: str = ""


class MathWorker:
    """One math-verify process, started at the first question and again after each kill.

    Threads may share it: they wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, candidate: str, seconds: float) -> ComparisonResult:
        """Compare two LaTeX texts; after `seconds` the process is killed and the result is a timeout."""
        question = json.dumps({"gold": gold, "candidate": candidate, "seconds": seconds}).encode() + b"\n"
        with self._lock:
            process = self._started()
            try:
                reply = self._ask(process, question, seconds)
            except BrokenPipeError:
                reply = b""
            except TimeoutError:
                self._kill()
                return ComparisonResult(Comparison.TIMEOUT, f"no result in {seconds:g} s")
            if not reply.endswith(b"\n"):
                self._kill()
                return ComparisonResult(
                    Comparison.CRASHED, "the math process ended in the middle of a comparison"
                )
        return _read_reply(reply)

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._lock:
            self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            # -P: the worker's folder holds a module called math, which must not hide the standard one.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER_FILE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
            self._await_start(self._process)
        return self._process

    def _await_start(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the imports. Raises RuntimeError: a broken installation is no verdict on a row."""
        try:
            started = b"ready" in self._ask(process, b"", _START_SECONDS)
        except TimeoutError:
            started = False
        if not started:
            self._kill()
            raise RuntimeError(
                f"the math process does not start; run `{sys.executable} -P {_WORKER_FILE}` to see why"
            )

    def _ask(self, process: subprocess.Popen[bytes], question: bytes, seconds: float) -> bytes:
        """Send a question and return the reply line; b"" when the process ended. Raises TimeoutError."""
        assert process.stdin is not None and process.stdout is not None
        if question:
            process.stdin.write(question)
        reply = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not reply.endswith(b"\n"):
                if not selector.select(seconds):
                    raise TimeoutError
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    return b""
                reply += part
        return reply

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _read_reply(reply: bytes) -> ComparisonResult:
    value = json.loads(reply)
    if value["problem"]:
        return ComparisonResult(Comparison.CRASHED, value["problem"])
    if value["equal"] is None:
        return ComparisonResult(Comparison.GOLD_UNREADABLE)
    return ComparisonResult(Comparison.EQUAL if value["equal"] else Comparison.DIFFERENT)


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
