"""What a newly forked inmate does before its harness: it gives up, one after another, all that it could do harm with.

The server works out beforehand all that can be; every object that is touched after the fork is a page to copy.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from data_filters.sandbox import syscalls
from data_filters.sandbox.channel import Channel
from data_filters.sandbox.isolation import Isolation
from data_filters.sandbox.layers import Layer
from data_filters.sandbox.protocol import OUT_OF_MEMORY, READY, UNCAUGHT
from data_filters.sandbox.seccomp import filter_for

_STATUS, _CHANNEL, _PEER = 3, 4, 5
"""The descriptors of an inmate, besides the standard three."""
_LAST_DESCRIPTOR = 1 << 20
_OPEN_FILES = 64
_STACK_BYTES = 64 << 20
_KILL = int(signal.SIGKILL)


@dataclass(frozen=True)
class Confinement:
    """What holds the inmates of one server that have the same limits."""

    folder: str
    """Where they start."""
    user: tuple[int, int] | None
    """The user and group to become; None for those that the server has."""
    resource_limits: tuple[tuple[int, tuple[int, int]], ...]
    filtered: bool
    """Whether a filter judges their system calls."""
    seccomp_filter: ctypes.Structure | None
    """The filter; None where it depends on the number of the process."""


def confinement(limits: dict[str, Any], isolation: Isolation, folder: str) -> Confinement:
    """The confinement by the layers that the server has."""
    has_own_numbers = isolation.has(Layer.PID_NAMESPACE)  # then an inmate is process 1
    filtered = isolation.has(Layer.SECCOMP)
    return Confinement(
        folder=folder,
        user=None if os.geteuid() == isolation.user else (isolation.user, isolation.group),
        resource_limits=_resource_limits(limits, isolation) if isolation.has(Layer.RLIMITS) else (),
        filtered=filtered,
        seccomp_filter=filter_for(1) if filtered and has_own_numbers else None,
    )


def _resource_limits(limits: dict[str, Any], isolation: Isolation) -> tuple[tuple[int, tuple[int, int]], ...]:
    # The server ends an inmate as soon as its time is over; this one counts whole seconds.
    seconds = int(limits["cpu_seconds"] or limits["seconds"] * (os.cpu_count() or 1)) + 2
    hard_stack = resource.getrlimit(resource.RLIMIT_STACK)[1]
    soft_stack = _STACK_BYTES if hard_stack == resource.RLIM_INFINITY else min(_STACK_BYTES, hard_stack)
    found = {
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: limits["scratch_bytes"],
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    if isolation.counts_own_processes:
        found[resource.RLIMIT_NPROC] = limits["threads"] + 1  # and the server
    stack = (resource.RLIMIT_STACK, (soft_stack, hard_stack))
    return (stack, *((kind, (value, value)) for kind, value in found.items()))


def live(harness: str, descriptors: list[int], status: int, confinement: Confinement) -> NoReturn:
    """Be an inmate, from the fork to the end of the process.

    `descriptors` are channel, stdout, stderr and perhaps a peer; `status` takes READY, or what went wrong before.
    """
    code = UNCAUGHT
    try:
        rest = _lay_out(status, descriptors)
        try:
            _confine(confinement)
        except OSError as error:
            os.write(_STATUS, f"an inmate cannot be confined: {error}".encode())
            raise
        os.write(_STATUS, READY)
        os.close(_STATUS)
        peer = Channel(_PEER) if rest > _PEER else None
        importlib.import_module(harness).main(Channel(_CHANNEL), peer)
        code = 0
    except MemoryError:
        code = OUT_OF_MEMORY
    except SystemExit as leaving:
        code = _exit_code(leaving)
    except BaseException:  # a program may raise anything, and must not come back into the server's frames
        traceback.print_exc()
    finally:
        _leave(code)


def occupy_descriptors() -> None:
    """In the server: use up the numbers that inmates give to their descriptors, so that none comes with one of them."""
    while (taken := os.dup(0)) <= _PEER:
        pass
    os.close(taken)


def _lay_out(status: int, descriptors: list[int]) -> int:
    """Have each descriptor at its place, and close all else. Returns the number of the first that is closed."""
    os.dup2(descriptors[0], _CHANNEL)
    os.dup2(descriptors[1], 1)
    os.dup2(descriptors[2], 2)
    os.dup2(status, _STATUS)
    rest = _PEER
    if len(descriptors) > 3:
        os.dup2(descriptors[3], _PEER)
        rest += 1
    os.closerange(rest, _LAST_DESCRIPTOR)
    return rest


def _confine(confinement: Confinement) -> None:
    """Raises OSError when a layer that was there for the server is not there for its inmate."""
    os.setsid()
    os.chdir(confinement.folder)
    os.umask(0o077)
    for kind, values in confinement.resource_limits:
        resource.setrlimit(kind, values)
    if confinement.user is not None:
        user, group = confinement.user
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    syscalls.die_with_parent(_KILL)
    syscalls.forbid_inspection()
    # Before the capabilities go: without no_new_privs a filter needs one. The filter lets capset through.
    if confinement.filtered:
        syscalls.install_filter(confinement.seccomp_filter or filter_for(os.getpid()))
    syscalls.drop_capabilities()


def _exit_code(leaving: SystemExit) -> int:
    """The exit code that Python would leave with."""
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 255
    sys.stderr.write(f"{leaving.code}\n")
    return UNCAUGHT


def _leave(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
