"""What a run may leave on the machine, looked at from outside: processes, files, sockets, mounts, kernel objects."""

from __future__ import annotations

import ctypes
import os
import re
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SECONDS_TO_SETTLE = 2.0
_PR_SET_CHILD_SUBREAPER = 36
_WATCHED = ("/", "/etc", "/usr/lib", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", ".")
# The standard library and the installed packages: where a dropped module would be imported by everyone.
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib"))


def adopt_orphans() -> None:
    """Make every later descendant of this process stay below it, so that a daemon cannot hide."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def seen(marker: str, port: int) -> Counter[str]:
    """Everything a candidate could have left, one line each; two looks differ by what appeared between them."""
    return Counter(
        [
            *_processes(),
            *_files(marker),
            *_sockets(marker, port),
            *(f"mount {place}" for place in _mounts()),
            *(f"descriptor {name} here" for name in _own_descriptors()),
            *(f"{kind} {line}" for kind in ("shm", "sem", "msg") for line in _ipc(kind)),
            *(f"key {line}" for line in _lines("/proc/keys") if marker in line),
        ]
    )


def left_since(before: Counter[str], marker: str, port: int) -> list[str]:
    """What is there now and was not before, after some time in which dying processes may vanish."""
    until = time.monotonic() + SECONDS_TO_SETTLE
    while left := sorted((seen(marker, port) - before).elements()):
        if time.monotonic() > until:
            return left
        time.sleep(0.005)
    return []


def descendants() -> list[int]:
    """The numbers of all living processes below this one."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (status := _status(int(entry))) is not None and status[0] != "Z":
            parents[int(entry)] = status[1]
    found = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return sorted(found - {os.getpid()})


def _status(pid: int) -> tuple[str, int] | None:
    """A process's state letter and its parent; None when it has gone."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(parent)


def _processes() -> Iterator[str]:
    """Each descendant with its number of mounts and open files, where one may look.

    A line names a command, not a process: a server that was started anew is not something left behind.
    """
    for pid in descendants():
        folder = Path(f"/proc/{pid}")
        try:
            command = folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            command = command.partition("{")[0]  # without the settings that differ from server to server
            mounts = len(folder.joinpath("mountinfo").read_text().splitlines())
            descriptors = len(os.listdir(folder / "fd"))
        except PermissionError:
            yield f"process {command}"
            continue
        # What is just ending gives one error or another, by how far it has come.
        except OSError:
            continue
        yield f"process {command}with {mounts} mounts, {descriptors} descriptors"


def _files(marker: str) -> Iterator[str]:
    names = {marker, marker.replace("-", "_")}
    for folder in dict.fromkeys((*_WATCHED, *_LIBRARIES, tempfile.gettempdir())):
        try:
            entries = os.listdir(folder)
        except (FileNotFoundError, PermissionError):
            continue
        yield from (f"file {folder}/{entry}" for entry in entries if any(name in entry for name in names))


def _sockets(marker: str, port: int) -> Iterator[str]:
    yield from (
        f"socket {line.split()[-1]}" for line in _lines("/proc/net/unix") if f"{marker}-listener" in line
    )
    waiting = re.compile(rf"^\s*\d+: \w+:{port:04X} ")
    yield from (f"listener on port {port}" for line in _lines("/proc/net/tcp") if waiting.match(line))


def _mounts() -> Iterator[str]:
    for line in _lines("/proc/self/mountinfo"):
        place, kind = line.split()[4], line.partition(" - ")[2].split()[0]
        # The folder of `ip netns`, and the namespaces in it that are hosts to the tests of clusters, which may run at
        # the same time.
        if place != "/run/netns" and not (place.startswith("/run/netns/") and kind == "nsfs"):
            yield place


def _own_descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def _ipc(kind: str) -> list[str]:
    return [" ".join(line.split()[:2]) for line in _lines(f"/proc/sysvipc/{kind}")[1:]]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return []
