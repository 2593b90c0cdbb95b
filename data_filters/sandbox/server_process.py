"""Start a sandbox's server, speak with it and end it, from the process that uses the sandbox."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from data_filters.sandbox.layers import Layer
from data_filters.sandbox.protocol import KILL

_START_SECONDS = 60.0
_END_SECONDS = 10.0
_MESSAGE_BYTES = 1 << 16
_PACKAGE_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path.append(sys.argv[1]); from data_filters.sandbox.keeper import main; main(sys.argv[2])"


class ServerLostError(RuntimeError):
    """The server does not start, or is gone."""


class Report(msgspec.Struct, frozen=True):
    """What a server says of an inmate's end."""

    status: int | None = None
    """As `os.wait` gives it."""
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    out_of_cpu: bool = False
    out_of_memory: bool = False
    lost: str = ""
    """What went wrong on our side; empty when nothing did."""


class Started(msgspec.Struct, frozen=True):
    """What a server says when it is ready: why each layer is off, "" for one that is on; or why it cannot serve."""

    layers: dict[Layer, str] = {}
    trouble: str = ""


class ServerProcess:
    """A running server. Raises ServerLostError when none can be started."""

    def __init__(self, without: frozenset[Layer], preload: tuple[str, ...]) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = _start(theirs, without, preload)
            theirs.close()
            self.layers = self._await_start()
        except BaseException:  # whatever interrupts the start, no process may stay behind
            theirs.close()
            self.kill()
            raise

    def start_inmate(self, order: bytes, descriptors: list[int]) -> bool:
        """Have an inmate made, with file descriptors; False when the server has gone."""
        try:
            self.control.sendmsg(
                [order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            )
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def kill_inmate(self) -> None:
        """Have the inmate ended, if there is one. Its report comes as always."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.send(KILL)

    def receive_report(self) -> Report:
        """The server's report of a run's end; blocks until it comes. A lost one when the server has gone."""
        message = self._receive()
        if not message:
            return Report(lost="the sandbox's server ended in the middle of a run")
        return msgspec.json.decode(message, type=Report)

    def kill(self) -> None:
        """End the server and all that it started. Returns when they are gone."""
        if self._process is not None and self.control.fileno() >= 0:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.control.close()

    def close(self) -> None:
        """Let the server end by itself, and kill it when it does not."""
        if self._process is None or self.control.fileno() < 0:
            return
        self.control.shutdown(socket.SHUT_WR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self.kill()

    def forget(self) -> None:
        """In a forked child: let go of the parent's server without a word to it."""
        self.control.close()

    def _await_start(self) -> dict[Layer, str]:
        self.control.settimeout(_START_SECONDS)
        try:
            message = self._receive()
        except TimeoutError:
            message = b""
        self.control.settimeout(None)
        if not message:
            raise ServerLostError(f"the sandbox does not start; run `{sys.executable} -S -c pass` to see why")
        started = msgspec.json.decode(message, type=Started)
        if started.trouble:
            raise ServerLostError(f"the sandbox does not start: {started.trouble}")
        return started.layers

    def _receive(self) -> bytes:
        try:
            return self.control.recv(_MESSAGE_BYTES)
        except ConnectionResetError:
            return b""


def _start(
    control: socket.socket, without: frozenset[Layer], preload: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    configuration = {
        "control": control.fileno(),
        "without": sorted(without),
        "preload": preload,
        "package_root": str(_PACKAGE_ROOT),
        "libraries": [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")],
        "scratch_folder": f"{tempfile.gettempdir()}/hermes-sandbox-{os.urandom(8).hex()}",
    }
    # -s, -S and -P: nothing but the standard library on the path, and no start-up file runs.
    command = [sys.executable, "-s", "-S", "-P", "-X", "utf8", "-c", _START]
    return subprocess.Popen(
        [*command, str(_PACKAGE_ROOT), msgspec.json.encode(configuration).decode()],
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        start_new_session=True,  # a Ctrl-C in the terminal is for the caller alone
    )


def _environment() -> dict[str, str]:
    """The environment of the server and of every inmate: nothing of the caller's but where its libraries lie."""
    environment = {
        "PYTHONHASHSEED": "0",  # the order of sets, and with it a verdict, is the same every time
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "MALLOC_ARENA_MAX": "2",  # an arena for every thread would use up the address space that a run is given
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
