"""A sandbox: a warm process that starts one isolated Python after another, each in a millisecond or two.

    with Sandbox() as sandbox, sandbox.start("data_filters.sandbox.harness.candidate", Limits(seconds=3)) as inmate:
        inmate.send(b"...")             # what the harness's main reads with channel.receive()
        reply = inmate.receive()        # what it sends with channel.send(); None when it ended without a word
        run = inmate.wait()             # how it ended: run.ending, run.detail, run.stdout, ...

A harness is a module with `main(channel, peer)`: `channel` is a `channel.Channel` to the caller, `peer` one to another
inmate or None. It is imported before the inmates are made, so that a run does not pay for it. What the caller
sends goes straight to the inmate: the server, whose memory every later inmate inherits, never sees it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Iterable
from typing import Self

import msgspec

from data_filters.errors import UserError
from data_filters.sandbox.inmate import Inmate
from data_filters.sandbox.layers import Layer, layers_named
from data_filters.sandbox.runs import Limits
from data_filters.sandbox.server_process import ServerLostError, ServerProcess

HARNESSES: tuple[str, ...] = tuple(
    f"data_filters.sandbox.harness.{name}" for name in ("candidate", "tests", "script", "together")
)
"""The harnesses that every sandbox imports ahead."""


class Sandbox:
    """One warm server, started at the first run and again whenever it is lost. Serves one inmate at a time.

    Threads may share it: they wait for each other. In a child made by fork it starts a server of the child's own.
    """

    def __init__(
        self,
        require: Iterable[str] = (),
        without: frozenset[Layer] = frozenset(),
        preload: tuple[str, ...] = HARNESSES,
    ) -> None:
        """`require` names the layers without which nothing runs (`layers.layers_named`); `without` leaves layers
        off on purpose, to see that the others hold; `preload` names the harnesses.

        Raises ValueError on an unknown layer.
        """
        self._require = layers_named(require)
        self._without = without
        self._preload = preload
        self._server: ServerProcess | None = None
        self._busy = threading.Lock()
        self._holder: int | None = None
        _all_sandboxes.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_started(self) -> bool:
        """Whether its server has been started, and not lost since."""
        return self._server is not None

    @property
    def layers(self) -> frozenset[Layer]:
        """The layers that hold its inmates. Starts the server. Raises as `start` does."""
        return frozenset(Layer) - self.missing.keys()

    @property
    def missing(self) -> dict[Layer, str]:
        """The layers that are off, and why. Starts the server. Raises as `start` does."""
        return {layer: reason for layer, reason in self._started().layers.items() if reason}

    def start(self, harness: str, limits: Limits, peer: socket.socket | None = None) -> Inmate:
        """Start an inmate that runs `harness.main(channel, peer)`; waits until the one before has been waited for.

        `peer` is a stream socket for the inmate's use; the caller keeps its own copy and closes it.
        Raises UserError when a required layer is missing, ServerLostError when no server can be started, and
        RuntimeError when this thread has not waited for its last inmate.
        """
        if self._holder == threading.get_ident():
            raise RuntimeError("wait for the last inmate before you start another")
        self._busy.acquire()
        self._holder = threading.get_ident()
        try:
            return self._start(harness, limits, peer)
        except BaseException:  # whatever went wrong, the next caller must not wait for ever
            self._release()
            raise

    def close(self) -> None:
        """End the server and what runs in it; the next run starts another."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def forget(self) -> None:
        """In a forked child: let go of the parent's server without a word to it."""
        if self._server is not None:
            self._server.forget()
        self._server = None
        self._busy = threading.Lock()
        self._holder = None

    def _start(self, harness: str, limits: Limits, peer: socket.socket | None) -> Inmate:
        order = msgspec.json.encode({"harness": harness, "limits": limits})
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, channel_end = socket.socketpair()
            ours.callback(channel.close)
            theirs.callback(channel_end.close)
            stdout, stdout_end = _pipe(ours, theirs)
            stderr, stderr_end = _pipe(ours, theirs)
            channel.setblocking(False)
            ends = [channel_end.fileno(), stdout_end, stderr_end]
            server = self._order(order, ends if peer is None else [*ends, peer.fileno()])
            ours.pop_all()
        return Inmate(server, limits, channel, (stdout, stderr), self._end_of_run)

    def _order(self, order: bytes, descriptors: list[int]) -> ServerProcess:
        """Give an order to the server, and to another one if that has gone."""
        for _ in range(2):
            server = self._started()
            if server.start_inmate(order, descriptors):
                return server
            self._lose()
        raise ServerLostError("the sandbox's server ends as soon as it is started")

    def _started(self) -> ServerProcess:
        if self._server is None:
            server = ServerProcess(self._without, self._preload)
            missing = {layer: server.layers[layer] for layer in sorted(self._require) if server.layers[layer]}
            if missing:
                server.close()
                raise UserError(_missing_layers(missing))
            self._server = server
        return self._server

    def _end_of_run(self, lost: bool) -> None:
        if lost:
            self._lose()
        self._release()

    def _lose(self) -> None:
        """Give up the server, so that the next run starts another."""
        server, self._server = self._server, None
        if server is not None:
            server.kill()

    def _release(self) -> None:
        self._holder = None
        self._busy.release()


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose reading end is ours and does not block."""
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    return reading, writing


def _missing_layers(missing: dict[Layer, str]) -> str:
    reasons = "; ".join(f"{layer}: {reason}" for layer, reason in missing.items())
    return (
        f"the sandbox lacks layers that sandbox.require asks for ({reasons}); run `hermes-train doctor` to see what "
        "this machine offers, then enable them or take them out of sandbox.require"
    )


def probe() -> dict[Layer, str]:
    """What this machine offers: for each layer "" or why it is off. Raises ServerLostError."""
    with Sandbox(preload=()) as sandbox:
        missing = sandbox.missing
    return {layer: missing.get(layer, "") for layer in Layer}


_shared: dict[tuple[str, frozenset[str], tuple[str, ...]], Sandbox] = {}


def shared_sandbox(name: str, require: Iterable[str] = (), preload: tuple[str, ...] = HARNESSES) -> Sandbox:
    """The sandbox of that name of this process, closed at its exit. A forked child gets one of its own."""
    key = (name, frozenset(require), preload)
    if key not in _shared:
        _shared[key] = Sandbox(require, preload=preload)
    return _shared[key]


def layers_in_use() -> dict[str, str]:
    """For each layer "on", or why it is off in one of this process's shared sandboxes; empty while none has started."""
    missing = [sandbox.missing for sandbox in _shared.values() if sandbox.is_started]
    if not missing:
        return {}
    return {layer.value: next((off[layer] for off in missing if layer in off), "on") for layer in Layer}


def close() -> None:
    """End the shared sandboxes of this process; the next use of one starts its server again."""
    for sandbox in _shared.values():
        sandbox.close()


def _let_go_in_child() -> None:
    """A forked child has copies of the lines to its parent's servers, and must not keep these alive."""
    for sandbox in _all_sandboxes:
        sandbox.forget()
    _shared.clear()


_all_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()
os.register_at_fork(after_in_child=_let_go_in_child)
atexit.register(close)
