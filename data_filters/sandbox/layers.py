"""The names of the layers that hold an inmate, and what a recipe may require of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Layer(StrEnum):
    """One independent means of holding an inmate."""

    USER_NAMESPACE = "user_namespace"
    """Its user is nobody outside, and has no capability anywhere."""
    PID_NAMESPACE = "pid_namespace"
    """It sees no other process, and all that it started ends with it."""
    MOUNT_NAMESPACE = "mount_namespace"
    """It has a file tree of its own."""
    NETWORK_NAMESPACE = "network_namespace"
    """It has no network device."""
    IPC_NAMESPACE = "ipc_namespace"
    """It shares no memory segment, semaphore or message queue."""
    UTS_NAMESPACE = "uts_namespace"
    """It has a host name of its own."""
    READ_ONLY_ROOT = "read_only_root"
    """Its file tree holds Python and its libraries, read-only, and no more."""
    SCRATCH = "scratch"
    """Its one writable folder is in memory, bounded, and empty at the start of every run."""
    SECCOMP = "seccomp"
    """The kernel answers only the system calls that a computing program needs."""
    NO_NEW_PRIVS = "no_new_privs"
    """No program that it starts can gain rights."""
    RLIMITS = "rlimits"
    """Memory, processor time, file sizes, open files and threads are bounded for each process."""
    CGROUP = "cgroup"
    """Memory and processes are bounded for the whole sandbox."""


NAMESPACES = frozenset(
    {
        Layer.USER_NAMESPACE,
        Layer.PID_NAMESPACE,
        Layer.MOUNT_NAMESPACE,
        Layer.NETWORK_NAMESPACE,
        Layer.IPC_NAMESPACE,
        Layer.UTS_NAMESPACE,
    }
)


def layers_named(names: Iterable[str]) -> frozenset[Layer]:
    """The layers that a recipe's words stand for; `namespaces` stands for all six of them.

    Raises ValueError that lists the words that are allowed.
    """
    known = {"namespaces": NAMESPACES} | {layer.value: frozenset({layer}) for layer in Layer}
    found: frozenset[Layer] = frozenset()
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no layer of the sandbox; choose from: {', '.join(known)}")
        found |= known[name]
    return found
