"""Run a function beside this process, with a time limit that holds whatever the function does.

What works on hostile rows in other people's code (regular expressions, sympy, validators) may loop, eat memory
or crash the interpreter. A thread cannot be killed, and a pool of processes does not start from daemonic
workers; a plain child process can be both, anywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

_PACKAGE_ROOT = Path(__file__).parents[2]
_START_SECONDS = 120.0
_GRACE_SECONDS = 2.0
"""The server ends a slow answer by itself; this much later it is killed as well."""


class Ending(StrEnum):
    """How a question to a guarded function ended."""

    ANSWERED = "answered"
    RAISED = "raised"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Reply:
    """The end of a question: the function's value when it answered, else what went wrong."""

    ending: Ending
    value: Any = None
    detail: str = ""


class GuardedFunction:
    """The function `answer` of a module, run in a process of its own that starts at the first question.

    `module` is a dotted name; its `prepare()` runs once, `answer(question)` at each question, both with
    JSON values. Threads may share an instance: they wait for each other.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: object, seconds: float) -> Reply:
        """Ask and wait at most `seconds`. Raises RuntimeError when the process does not start at all."""
        line = json.dumps({"question": question, "seconds": seconds}).encode() + b"\n"
        with self._lock:
            process = self._started()
            try:
                reply = _exchange(process, line, seconds + _GRACE_SECONDS)
            except TimeoutError:
                self._kill()
                return Reply(Ending.TIMEOUT, detail=f"no result in {seconds:g} s")
            except BrokenPipeError:
                reply = b""
            if not reply:
                self._kill()
                return Reply(Ending.CRASHED, detail="the guarded process ended before it answered")
        found = json.loads(reply)
        return Reply(Ending(found["ending"]), found.get("value"), found.get("detail", ""))

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._lock:
            self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            command = [sys.executable, "-P", "-m", "data_filters.verifiers.guarded_server", self._module]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                # A group of its own, so that all of it can be killed and a Ctrl-C does not reach it.
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
            self._await_start(self._process, command)
        return self._process

    def _await_start(self, process: subprocess.Popen[bytes], command: list[str]) -> None:
        """Wait for the imports. Raises RuntimeError: a broken installation is no verdict on a row."""
        try:
            started = b"ready" in _exchange(process, b"", _START_SECONDS)
        except TimeoutError:
            started = False
        if not started:
            self._kill()
            raise RuntimeError(f"a guarded process does not start; run `{' '.join(command)}` to see why")

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def shared(module: str) -> GuardedFunction:
    """This process's guarded function of `module`. A forked child gets one of its own."""
    key = (os.getpid(), module)
    if key not in _functions:
        if not any(owner == key[0] for owner, _ in _functions):
            _functions.clear()
            atexit.register(close_all)
        _functions[key] = GuardedFunction(module)
    return _functions[key]


def close_all() -> None:
    """End this process's guarded processes."""
    for (owner, _), function in _functions.items():
        if owner == os.getpid():
            function.close()


_functions: dict[tuple[int, str], GuardedFunction] = {}


def _exchange(process: subprocess.Popen[bytes], line: bytes, seconds: float) -> bytes:
    """Send a line and return the reply line; b"" when the process ended. Raises TimeoutError."""
    assert process.stdin is not None and process.stdout is not None
    sent = 0
    while sent < len(line):
        sent += process.stdin.write(line[sent:]) or 0
    deadline = time.monotonic() + seconds
    reply = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not reply.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                return b""
            reply += part
    return reply


def _python_path() -> str:
    """The import path of a child: this package first, since `-P` leaves the current folder out."""
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_PACKAGE_ROOT), *([given] if given else [])])
