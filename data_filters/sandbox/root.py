"""The file tree that inmates see: Python and its libraries, read-only, and no more."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from data_filters.sandbox import syscalls

SCRATCH = "/scratch"
"""Where the writable folder lies in the tree."""

_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_BUILDING_SITE = "/sys"
"""A folder that every system has and that nothing of the tree comes from."""


def contents(prefix: str, search_path: Iterable[str], package_root: str) -> list[str]:
    """The files and folders to show: none lies within another.

    `prefix` is the interpreter's own, `search_path` where it looks for modules, `package_root` the folder that this
    package lies in.
    """
    package = Path(package_root) / "data_filters"
    wanted = [
        *_SYSTEM_LIBRARIES,
        *_SYSTEM_FILES,
        *_DEVICES,
        f"{prefix}/lib",
        f"{prefix}/lib64",
        *(entry for entry in search_path if entry != package_root),
        str(package / "__init__.py"),
        str(package / "sandbox"),
    ]
    there = {os.path.normpath(path) for path in wanted if Path(path).exists()}
    return sorted(path for path in there if not any(str(parent) in there for parent in Path(path).parents))


def build(paths: Iterable[str], scratch: str | None = None) -> None:
    """Make a tree of these paths and move into it. The process needs a mount namespace of its own.

    A scratch folder on disk appears in it where the other is left off.

    Raises OSError; the process may then stand in a half-built tree and should end.
    """
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(
        "tmpfs", _BUILDING_SITE, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755,size=1m"
    )
    for path in paths:
        _show(path, _BUILDING_SITE + path)
    Path(_BUILDING_SITE + SCRATCH).mkdir()
    if scratch is not None:
        syscalls.mount(scratch, _BUILDING_SITE + SCRATCH, "", syscalls.MS_BIND)
    _link_temporary_folder()
    os.chdir(_BUILDING_SITE)
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".")
    os.chdir("/")
    flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("none", "/", "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)


def _show(path: str, target: str) -> None:
    """Let a file, a folder or a symbolic link appear in the tree under its own name, read-only."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    source = Path(path)
    if source.is_symlink() and path in _SYSTEM_LIBRARIES:
        Path(target).symlink_to(source.readlink())
        return
    if source.is_dir():
        Path(target).mkdir()
    else:
        Path(target).touch()
    syscalls.mount(path, target, "", syscalls.MS_BIND | syscalls.MS_REC)
    is_device = stat.S_ISCHR(source.stat().st_mode)
    for mounted, options in _mounts_below(target):
        flags = _flags(options) | syscalls.MS_RDONLY | syscalls.MS_NOSUID
        flags |= 0 if is_device else syscalls.MS_NODEV
        syscalls.mount("none", mounted, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)


def _mounts_below(folder: str) -> list[tuple[str, str]]:
    """The mounts at and below a path with their options."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        # 36 35 98:0 /mnt1 /mnt/parent\040two rw,noatime master:1 - ext3 /dev/root rw
        fields = line.split()
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if place == folder or place.startswith(folder + "/"):
            found.append((place, fields[5]))
    return found


def _flags(options: str) -> int:
    """What a mount may not lose: a user namespace keeps the options of the mounts it inherits."""
    known = {"nosuid": syscalls.MS_NOSUID, "nodev": syscalls.MS_NODEV, "noexec": syscalls.MS_NOEXEC}
    return sum(known.get(option, 0) for option in options.split(","))


def _link_temporary_folder() -> None:
    """Make /tmp another name of the scratch folder, unless something in the tree lies below it."""
    temporary = Path(_BUILDING_SITE + "/tmp")
    if not temporary.exists():
        temporary.symlink_to(SCRATCH)
