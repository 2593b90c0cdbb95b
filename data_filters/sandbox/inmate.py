"""The caller's hold on one inmate: talk to it, watch its limits, learn how it ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Self

from data_filters.sandbox.channel import HEADER, framed
from data_filters.sandbox.protocol import OUT_OF_MEMORY
from data_filters.sandbox.runs import Ending, Limits, Run
from data_filters.sandbox.server_process import Report, ServerProcess

_PART_BYTES = 1 << 16
_SECONDS_TO_END = 10.0
"""A server that has not ended an inmate so long after it was asked to is ended itself."""


class Inmate:
    """One run inside a sandbox. Made by `Sandbox.start`; leave it by `wait`, or use it as a context manager.

    Every method also drains the inmate's output and keeps its limits, so that it never blocks for longer than
    `Limits.seconds` and a few moments.
    """

    def __init__(
        self,
        server: ServerProcess,
        limits: Limits,
        channel: socket.socket,
        outputs: tuple[int, int],
        on_end: Callable[[bool], None],
    ) -> None:
        self._server = server
        self._limits = limits
        self._channel = channel
        self._outputs = {outputs[0]: bytearray(), outputs[1]: bytearray()}
        self._stdout, self._stderr = outputs
        self._on_end = on_end
        self._started = time.monotonic()
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._received = 0
        self._decided: tuple[Ending, str] | None = None
        self._kill_sent: float | None = None
        self._report: Report | None = None
        self._run: Run | None = None
        self._poll = select.poll()
        for end in (channel.fileno(), *outputs, server.control.fileno()):
            self._poll.register(end, select.POLLIN)
        self._open = {channel.fileno(), *outputs}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()

    def send(self, message: bytes) -> None:
        """Queue one message for the inmate; it is sent while `receive` or `wait` runs, at the latest."""
        self._outgoing += framed(message)
        self._flush()

    def receive(self, seconds: float | None = None) -> bytes | None:
        """The next message of the inmate; None when it has ended, or when `seconds` passed without one."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while (message := self._next_message()) is None:
            if self._report is not None or (deadline is not None and time.monotonic() >= deadline):
                return None
            self._turn(deadline)
        return message

    def wait(self) -> Run:
        """Let the inmate come to its end, or to the end of its time, and say how it ended.

        After it nothing of the inmate is left, and the sandbox serves the next one.
        """
        while self._run is None:
            if self._report is not None:
                self._finish(self._report)
            else:
                self._turn(None)
        return self._run

    def kill(self) -> None:
        """End the inmate now; its run then counts as killed unless something else was decided before."""
        if self._report is None and self._run is None:
            self._end(Ending.KILLED, "ended by the caller")

    def _next_message(self) -> bytes | None:
        if len(self._incoming) < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._incoming)
        end = HEADER.size + length
        if end > self._limits.reply_bytes:
            self._end(Ending.OUTPUT_FLOOD, f"announced a message of {length} bytes")
        if len(self._incoming) < end:
            return None
        message = bytes(self._incoming[HEADER.size : end])
        del self._incoming[:end]
        return message

    def _turn(self, deadline: float | None) -> None:
        """Wait for one thing to happen and deal with it."""
        now = time.monotonic()
        wall = self._started + self._limits.seconds
        if self._kill_sent is not None:
            wall = self._kill_sent + _SECONDS_TO_END
        if now >= wall:
            self._overdue()
            return
        until = wall if deadline is None else min(wall, deadline)
        for end, _ in self._poll.poll(max(0.0, until - now) * 1000 + 1):
            if end == self._server.control.fileno():
                self._hear_server()
            elif end == self._channel.fileno():
                self._flush()
                self._read_channel()
            else:
                self._read_output(end)

    def _overdue(self) -> None:
        if self._kill_sent is None:
            self._end(Ending.TIMEOUT, f"no end within {self._limits.seconds:g} s")
        else:
            self._server.kill()
            self._report = Report(lost="the sandbox's server did not end the run")

    def _hear_server(self) -> None:
        self._report = self._server.receive_report()
        for end in list(self._open):
            if end == self._channel.fileno():
                self._read_channel()
            else:
                self._read_output(end)

    def _read_channel(self) -> None:
        """Take what has come over the channel."""
        while (part := _received(self._channel)) is not None:
            if not part:
                self._leave(self._channel.fileno())
                return
            self._received += len(part)
            if self._received > self._limits.reply_bytes:
                self._end(Ending.OUTPUT_FLOOD, f"sent more than {self._limits.reply_bytes} bytes")
                self._leave(self._channel.fileno())
                return
            self._incoming += part

    def _read_output(self, end: int) -> None:
        """Take what was written to one of its two outputs."""
        kept = self._outputs[end]
        while (part := _read(end)) is not None:
            if not part:
                self._leave(end)
                return
            room = self._limits.output_bytes - len(kept)
            kept += part[:room]
            if len(part) > room:
                self._end(Ending.OUTPUT_FLOOD, f"wrote more than {self._limits.output_bytes} bytes")
                self._leave(end)
                return

    def _flush(self) -> None:
        """Send what waits to be sent, as far as it goes without blocking."""
        try:
            while self._outgoing:
                sent = self._channel.send(memoryview(self._outgoing)[:_PART_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing.clear()
        if self._channel.fileno() in self._open:
            self._poll.modify(
                self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._outgoing else 0)
            )

    def _leave(self, end: int) -> None:
        if end in self._open:
            self._open.discard(end)
            self._poll.unregister(end)

    def _end(self, ending: Ending, detail: str) -> None:
        """Decide how the run ends, if nothing was decided before, and have the server end it."""
        self._decided = self._decided or (ending, detail)
        if self._kill_sent is None:
            self._kill_sent = time.monotonic()
            self._server.kill_inmate()

    def _finish(self, report: Report) -> None:
        self._channel.close()
        for end in self._outputs:
            os.close(end)
        ending, detail = self._decided or _ending(report, self._limits)
        code = None if report.status is None else os.waitstatus_to_exitcode(report.status)
        self._run = Run(
            ending=ending,
            detail=detail,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            stdout=bytes(self._outputs[self._stdout]),
            stderr=bytes(self._outputs[self._stderr]),
            seconds=time.monotonic() - self._started,
            cpu_seconds=report.cpu_seconds,
            memory_bytes=report.memory_bytes,
        )
        self._on_end(bool(report.lost))


def _ending(report: Report, limits: Limits) -> tuple[Ending, str]:
    """How a run ended that nobody on this side ended, and what says so."""
    if report.lost:
        return Ending.INFRASTRUCTURE, report.lost
    assert report.status is not None, "a report has a status unless it is lost"
    code = os.waitstatus_to_exitcode(report.status)
    if report.out_of_cpu:
        return Ending.TIMEOUT, f"used {report.cpu_seconds:.2f} s of processor time"
    if report.out_of_memory or code == OUT_OF_MEMORY:
        return Ending.MEMORY, f"needed more than {limits.memory_bytes >> 20} MiB"
    if code == -signal.SIGKILL:
        return Ending.INFRASTRUCTURE, "killed from outside the sandbox"
    if code < 0:
        return Ending.CRASHED, f"ended by {_signal_name(-code)}"
    if code > 0:
        return Ending.CRASHED, f"exit code {code}"
    return Ending.FINISHED, ""


def _signal_name(number: int) -> str:
    """Such as SIGSEGV; those that programs may give a meaning of their own have no name."""
    known = {known.value: known.name for known in signal.Signals}
    return known.get(number, f"signal {number}")


def _received(channel: socket.socket) -> bytes | None:
    """What has come over a socket: b"" when its other end is closed, None when nothing waits."""
    try:
        return channel.recv(_PART_BYTES)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def _read(end: int) -> bytes | None:
    """What has come through a pipe: b"" when its other end is closed, None when nothing waits."""
    try:
        return os.read(end, _PART_BYTES)
    except BlockingIOError:
        return None
