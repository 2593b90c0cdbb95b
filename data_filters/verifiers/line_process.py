"""A Python module run beside this process: one line in, one line out, and killed when it takes too long.

A thread cannot be killed, and a pool of processes does not start from daemonic workers; a plain child process can be
both, also beside a process that holds a GPU or threads.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).parents[2]
_START_SECONDS = 120.0


class LineProcess:
    """A process that starts at the first line, and again at the next one after it is gone.

    The module says a line with "ready" in it when it has imported what it needs. One thread may use it at a time.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        # -P: what lies in the current folder must not hide a module of the process's.
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number; None while there is none."""
        return None if self._process is None else self._process.pid

    def exchange(self, line: bytes, seconds: float) -> bytes | None:
        """Send a line with its end and return the reply with its; None when the process ended before it replied.

        Raises TimeoutError after `seconds`, when the process is killed, and RuntimeError where none can be started.
        """
        process = self._started()
        try:
            reply = _exchange(process, line, seconds)
        except BrokenPipeError:
            reply = None
        except TimeoutError:
            self.kill()
            raise
        if reply is None:
            self.kill()
        return reply

    def start(self) -> None:
        """Start it now, where the time it takes is not counted. Raises RuntimeError where it cannot be started."""
        self._started()

    def kill(self) -> None:
        """End it and what it has started, if it runs; the next line starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            search_path = os.pathsep.join(filter(None, (str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH"))))
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                # A group of its own, so that all of it can be killed and a Ctrl-C does not reach it.
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": search_path},
            )
            self._await_start(self._process)
        return self._process

    def _await_start(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the imports. Raises RuntimeError: a broken installation is no verdict on a row."""
        try:
            said = _exchange(process, b"", _START_SECONDS)
        except TimeoutError:
            said = None
        if said is None or b"ready" not in said:
            self.kill()
            raise RuntimeError(
                f"a checking process does not start; run `{' '.join(self._command)}` to see why"
            )


def _exchange(process: subprocess.Popen[bytes], line: bytes, seconds: float) -> bytes | None:
    """Send a line and return the reply line; None when the process ended. Raises TimeoutError, BrokenPipeError."""
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
                return None
            reply += part
    return reply
