"""The server of a sandbox: it waits for orders, forks an inmate for each, and reports its end.

It imports nothing but the standard library: each inmate inherits every page that it holds.
"""

from __future__ import annotations

import _sitebuiltins
import array
import builtins
import errno
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any

from data_filters.sandbox import sweeping, syscalls
from data_filters.sandbox.cgroup import Group
from data_filters.sandbox.confinement import Confinement, confinement, live, occupy_descriptors
from data_filters.sandbox.isolation import Isolation
from data_filters.sandbox.layers import Layer
from data_filters.sandbox.protocol import KILL, READY
from data_filters.sandbox.scratch import FolderScratch, find_scratch
from data_filters.sandbox.seccomp import filter_for

_MESSAGE_BYTES = 1 << 16
_MODULES = """
    bisect collections copy datetime decimal enum fractions functools heapq itertools json math operator random re
    string struct time typing
"""
"""What programs use often, imported once for all of them. Each more makes every fork slower."""
_DESCRIPTORS_ROOM = socket.CMSG_SPACE(4 * array.array("i").itemsize)
_SHORTEST_PAUSE = 0.005
"""Seconds between two looks at an inmate's use of the processor."""
_SIGKILL = int(signal.SIGKILL)


def warm_up(modules: list[str]) -> None:
    """Import what inmates will use."""
    for name in [*_MODULES.split(), *modules]:
        importlib.import_module(name)
    # Start-up files, which we skip, would have defined these two.
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")


class Server:
    """Serves one inmate at a time over the control line."""

    def __init__(
        self,
        control: socket.socket,
        isolation: Isolation,
        group: Group,
        folder: FolderScratch,
        processes: int,
    ) -> None:
        """`processes` is the opened folder /proc of the world outside."""
        self._control = control
        self._isolation = isolation
        self._group = group
        self._processes = processes
        self._cores = os.cpu_count() or 1
        self._own_namespace: int | None = None
        if isolation.has(Layer.PID_NAMESPACE):
            self._own_namespace = os.open("self/ns/pid", os.O_RDONLY, dir_fd=processes)
            os.close(processes)
        else:
            syscalls.adopt_orphans()
        self._scratch = find_scratch(isolation, folder)
        isolation.attempt(Layer.RLIMITS, lambda: None)
        isolation.attempt(Layer.SECCOMP, _try_filter)
        occupy_descriptors()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._is_asked_to_end = False
        self._order: tuple[bytes, dict[str, Any], Confinement] | None = None

    def serve(self) -> None:
        """Serve until the control line is closed."""
        os.environ["HOME"] = os.environ["TMPDIR"] = self._scratch.path
        sys.argv[1:] = []
        gc.collect()
        gc.freeze()
        layers = {layer: self._isolation.off.get(layer, "") for layer in Layer}
        self._control.send(json.dumps({"layers": layers}).encode())
        while True:
            message, descriptors = self._receive()
            if not message:
                return
            # An order to end a run may come when the run has just ended.
            if message != KILL:
                self._control.send(json.dumps(self._run(message, descriptors)).encode())

    def _receive(self) -> tuple[bytes, list[int]]:
        """The next order and the file descriptors that come with it."""
        message, ancillary, _, _ = self._control.recvmsg(_MESSAGE_BYTES, _DESCRIPTORS_ROOM)
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        return message, list(descriptors)

    def _run(self, message: bytes, descriptors: list[int]) -> dict[str, Any]:
        """Serve one inmate from its start to its end, and give the report."""
        status_end, status = os.pipe()
        try:
            try:
                order, confinement = self._read(message)
                inmate = self._make_inmate(order, descriptors, status, confinement)
            finally:
                for end in (status, *descriptors):
                    os.close(end)
            self._is_asked_to_end = False
            report = self._report(*self._watch(inmate, order["limits"]["cpu_seconds"]), order["limits"])
            if self._own_namespace is None:
                sweeping.end_children(self._processes)
            self._scratch.clear()
            said = os.read(status_end, _MESSAGE_BYTES)
        except OSError as error:
            return {"lost": f"no inmate can be made: {error}"}
        finally:
            os.close(status_end)
        if said != READY and not (self._is_asked_to_end or report["out_of_cpu"]):
            report["lost"] = said.decode() or "an inmate ended before it was confined"
        return report

    def _read(self, message: bytes) -> tuple[dict[str, Any], Confinement]:
        """The order in a message, and what it means for the inmate; most are the same as the one before."""
        if self._order is None or self._order[0] != message:
            order = json.loads(message)
            self._order = message, order, confinement(order["limits"], self._isolation, self._scratch.path)
        return self._order[1], self._order[2]

    def _make_inmate(
        self, order: dict[str, Any], descriptors: list[int], status: int, confinement: Confinement
    ) -> int:
        limits = order["limits"]
        self._scratch.prepare(limits["scratch_bytes"], limits["scratch_files"])
        self._group.limit(limits["memory_bytes"] + limits["scratch_bytes"], limits["threads"])
        # Only an inmate's children may get another namespace, so ours is set back each time.
        if self._own_namespace is not None:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            inmate = syscalls.fork()
            if inmate == 0:
                live(order["harness"], descriptors, status, confinement)
        finally:
            if self._own_namespace is not None:
                syscalls.set_namespace(self._own_namespace, syscalls.CLONE_NEWPID)
        return inmate

    def _watch(self, inmate: int, cpu_seconds: float | None) -> tuple[int, resource.struct_rusage, bool]:
        """Wait until the inmate has ended; how it did, what it used, and whether it was ended for that."""
        out_of_cpu = False
        end = _open_process(inmate)
        if end is not None:
            self._poll.register(end, select.POLLIN)
        while not (found := os.wait4(inmate, os.WNOHANG))[0]:
            pause = None if end is not None else _SHORTEST_PAUSE
            if cpu_seconds is not None and not out_of_cpu:
                left = cpu_seconds - time.clock_gettime(_cpu_clock(inmate))
                pause = max(left / self._cores, _SHORTEST_PAUSE)
                out_of_cpu = left <= 0
                if out_of_cpu:
                    os.kill(inmate, _SIGKILL)
            self._await_event(inmate, pause)
        if end is not None:
            self._poll.unregister(end)
            os.close(end)
        return found[1], found[2], out_of_cpu

    def _report(
        self, status: int, usage: resource.struct_rusage, out_of_cpu: bool, limits: dict[str, Any]
    ) -> dict[str, Any]:
        memory_bytes = usage.ru_maxrss * 1024
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == _SIGKILL
        held_much = 2 * memory_bytes > limits["memory_bytes"]
        return {
            "status": status,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "memory_bytes": memory_bytes,
            "out_of_cpu": out_of_cpu,
            "out_of_memory": was_killed and (self._group.has_killed() or held_much),
        }

    def _await_event(self, inmate: int, seconds: float | None) -> None:
        """Wait for the inmate's end, for time to pass, or for the order to end the inmate."""
        control = self._control.fileno()
        for end, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            if end == control:
                # An order to end it, or the end of the line: the caller has gone.
                self._control.recv(_MESSAGE_BYTES)
                self._is_asked_to_end = True
                os.kill(inmate, _SIGKILL)


def _cpu_clock(process: int) -> int:
    """The clock of a process's processor time, as clock_gettime(2) numbers it."""
    return (~process << 3) | 2


def _open_process(process: int) -> int | None:
    """Something that can be polled for the process's end; None where the kernel, older than 5.3, has no such thing."""
    try:
        return os.pidfd_open(process)
    except OSError:
        return None


def _try_filter() -> None:
    """Raises OSError when an inmate could not install its filter."""
    program = filter_for(1)
    child = os.fork()
    if child == 0:
        problem = 0
        try:
            syscalls.install_filter(program)
        except OSError as error:
            problem = error.errno or errno.ENOSYS
        finally:
            os._exit(problem)
    problem = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if problem:
        raise OSError(problem, os.strerror(problem))
