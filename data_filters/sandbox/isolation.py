"""Go from layer to layer into isolation, once for each server; what the kernel lacks is left out and named."""

from __future__ import annotations

import os
import platform
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from data_filters.sandbox import root, syscalls
from data_filters.sandbox.layers import Layer

NOBODY = 65534
"""The user that root's inmates run as."""
_TO_BECOME_ANOTHER = 1 << 0 | 1 << 6 | 1 << 7
"""The capabilities CHOWN, SETGID and SETUID."""

MapUser = Callable[[int, int], None]
"""Has a process outside write the maps that let this process be one user and one group in its user namespace."""


@dataclass
class Isolation:
    """Where a server stands: the layers that are off, and what its inmates need to know."""

    without: frozenset[Layer]
    user: int
    group: int
    tree: list[str]
    """What the file tree shows."""
    scratch_on_disk: str | None
    """The scratch folder where the layer of that name is left off."""
    off: dict[Layer, str] = field(default_factory=dict)
    """Why each layer that is off is off."""

    def attempt(self, layer: Layer, step: Callable[[], None]) -> bool:
        """Take one step, unless its layer is left off on purpose; whether the layer is on."""
        if layer in self.without:
            self.off[layer] = "switched off"
            return False
        try:
            step()
        except OSError as error:
            self.off[layer] = str(error)
            return False
        self.off.pop(layer, None)
        return True

    def has(self, layer: Layer) -> bool:
        """Whether every attempt at a layer went well so far."""
        return layer not in self.off

    @property
    def counts_own_processes(self) -> bool:
        """Whether a limit on the number of processes counts this sandbox's alone, as it does since Linux 5.14."""
        release = re.findall(r"\d+", platform.release())
        return self.has(Layer.USER_NAMESPACE) and tuple(map(int, release[:2])) >= (5, 14)


def inmate_user() -> tuple[int, int]:
    """The user and group that inmates run as: nobody, where this process may become nobody, else its own."""
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("\nCapEff:")[2].split()[0], 16)
    if os.geteuid() == 0 and capabilities & _TO_BECOME_ANOTHER == _TO_BECOME_ANOTHER:
        return NOBODY, NOBODY
    return os.geteuid(), os.getegid()


def enter(isolation: Isolation, map_user: MapUser) -> None:
    """Enter the namespaces that there are, and the file tree.

    A process with rights builds the tree first, while it may still read all of it; another can build it only inside
    a user namespace.
    """
    _enter_tree(isolation)
    if isolation.has(Layer.USER_NAMESPACE):
        isolation.attempt(Layer.USER_NAMESPACE, lambda: _enter_user(isolation, map_user))
    if not isolation.has(Layer.MOUNT_NAMESPACE):
        _enter_tree(isolation)
    isolation.attempt(Layer.NETWORK_NAMESPACE, lambda: syscalls.unshare(syscalls.CLONE_NEWNET))
    isolation.attempt(Layer.IPC_NAMESPACE, lambda: syscalls.unshare(syscalls.CLONE_NEWIPC))
    isolation.attempt(Layer.UTS_NAMESPACE, _enter_host_name)
    isolation.attempt(Layer.PID_NAMESPACE, lambda: syscalls.unshare(syscalls.CLONE_NEWPID))
    isolation.attempt(Layer.NO_NEW_PRIVS, syscalls.forbid_new_privileges)
    syscalls.empty_bounding_set()


def _enter_tree(isolation: Isolation) -> None:
    if isolation.attempt(Layer.MOUNT_NAMESPACE, lambda: syscalls.unshare(syscalls.CLONE_NEWNS)):
        isolation.attempt(Layer.READ_ONLY_ROOT, lambda: root.build(isolation.tree, isolation.scratch_on_disk))
    else:
        isolation.off[Layer.READ_ONLY_ROOT] = "needs the mount namespace"


def _enter_user(isolation: Isolation, map_user: MapUser) -> None:
    """Be, in a new user namespace, the one user that it has."""
    # Asked before: a user without a map is shown as nobody, which it is not.
    is_another = os.geteuid() != isolation.user
    namespaces = syscalls.CLONE_NEWUSER
    if isolation.has(Layer.MOUNT_NAMESPACE):
        namespaces |= syscalls.CLONE_NEWNS  # one that belongs to the new user, for its scratch folders
    syscalls.unshare(namespaces)
    map_user(isolation.user, isolation.group)
    if is_another:
        os.setgroups([])
        os.setresgid(*[isolation.group] * 3)
        os.setresuid(*[isolation.user] * 3)


def _enter_host_name() -> None:
    syscalls.unshare(syscalls.CLONE_NEWUTS)
    socket.sethostname("sandbox")
