"""A control group for one sandbox, below the group that the caller runs in, where one may be made."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = Path("/sys/fs/cgroup")
_PREFIX = "hermes-sandbox-"
_SERVER_BYTES = 64 << 20
"""Room for the server, which is in the group too."""
_SERVER_PROCESSES = 4


class Group:
    """Made by the keeper, joined by the builder, limited by the server for each run."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._memory = self._processes = self._events = -1
        self._limits: tuple[int, int] | None = None
        self._kills = 0

    def make(self) -> None:
        """Make the group. Raises OSError that says why there is none."""
        places = _own_places()
        memory, processes = places.get("memory"), places.get("pids")
        if memory is None or processes is None:
            raise OSError("the memory and pids controllers are not available here")
        name = f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        try:
            for place in sorted({memory, processes}):
                _remove_abandoned(place)
                (place / name).mkdir()
                self._folders.append(place / name)
            self._open(memory / name, processes / name)
        except OSError:
            self.remove()
            raise

    def join(self) -> None:
        """Move this process into the group; what it forks from then on is in it too. Raises OSError."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Bound the memory and the number of processes and threads of one inmate. Raises OSError."""
        if not self._folders or self._limits == (memory_bytes, processes):
            return
        os.pwrite(self._memory, str(memory_bytes + _SERVER_BYTES).encode(), 0)
        os.pwrite(self._processes, str(processes + _SERVER_PROCESSES).encode(), 0)
        self._limits = memory_bytes, processes

    def has_killed(self) -> bool:
        """Whether the kernel has ended a process of the group for its use of memory since the last question."""
        if not self._folders:
            return False
        before, self._kills = self._kills, _out_of_memory_kills(os.pread(self._events, 4096, 0))
        return self._kills > before

    def remove(self) -> None:
        """Remove the group when its last process has gone."""
        while self._folders:
            self._folders.pop().rmdir()

    def _open(self, memory: Path, processes: Path) -> None:
        """Open what the server needs: it will not see these files, nor have the right to open them."""
        new = (memory / "memory.max").exists()
        self._memory = os.open(memory / ("memory.max" if new else "memory.limit_in_bytes"), os.O_WRONLY)
        self._events = os.open(memory / ("memory.events" if new else "memory.oom_control"), os.O_RDONLY)
        self._processes = os.open(processes / "pids.max", os.O_WRONLY)


def _own_places() -> dict[str, Path]:
    """For each controller the folder of the group that this process is in."""
    places = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        # Version 1: "4:memory:/job_7"; version 2: "0::/job_7"
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else _unified_controllers(path):
            mount = _MOUNTS / controller if controllers else _unified_mount()
            places[controller] = mount / path.lstrip("/")
    return places


def _unified_mount() -> Path:
    hybrid = _MOUNTS / "unified"
    return hybrid if hybrid.is_dir() else _MOUNTS


def _unified_controllers(path: str) -> list[str]:
    """The controllers that a group may hand down to the groups below it."""
    handed_down = _unified_mount() / path.lstrip("/") / "cgroup.subtree_control"
    return handed_down.read_text().split() if handed_down.exists() else []


def _remove_abandoned(place: Path) -> None:
    """Remove groups whose keeper was killed together with its caller."""
    for folder in place.glob(f"{_PREFIX}*"):
        keeper = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{keeper}").exists():
            try:
                folder.rmdir()
            except OSError:
                continue  # another user's, or in use in a container whose processes cannot be seen from here


def _out_of_memory_kills(events: bytes) -> int:
    """The count in a line such as `oom_kill 1`."""
    lines = [line.split() for line in events.decode().splitlines()]
    return next((int(words[1]) for words in lines if words[0] == "oom_kill"), 0)
