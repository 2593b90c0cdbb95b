"""The few calls to the Linux kernel that Python's `os` does not offer. Each raises OSError as `os` would.

Numbers and flags are those of the kernel's headers (linux/sched.h, linux/mount.h, linux/prctl.h).
"""

from __future__ import annotations

import ctypes
import os
import platform

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_HIGHEST_CAPABILITY = 63

_NUMBERS = {"x86_64": {"pivot_root": 155, "capset": 126}, "aarch64": {"pivot_root": 41, "capset": 91}}
_OWN_NUMBERS = _NUMBERS.get(platform.machine(), {})

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_interpreter = ctypes.PyDLL(None, use_errno=True)
# With the types declared a call makes no objects for its arguments.
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_libc.unshare.argtypes = [ctypes.c_int]
_libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.syscall.argtypes = [ctypes.c_long] * 3
_capability_header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
_no_capabilities = (ctypes.c_uint32 * 6)()


def fork() -> int:
    """Fork a process that has one thread.

    `os.fork` also tidies up what other threads may have left and seeds `random` anew; that touches, and thus
    copies, a hundred pages, and takes as long as all the rest of a run's start. Without it every child also
    draws the same random numbers.
    """
    child: int = _libc_with_interpreter.fork()
    _check(child)
    return child


def unshare(namespaces: int) -> None:
    """Move this process, or for CLONE_NEWPID its next children, into new namespaces."""
    _check(_libc.unshare(namespaces))


def set_namespace(descriptor: int, kind: int) -> None:
    """Move this process, or for CLONE_NEWPID its next children, into an existing namespace."""
    _check(_libc.setns(descriptor, kind))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    _check(
        _libc.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
        ),
        target,
    )


def unmount(target: str) -> None:
    """Take a mount out of sight at once; the kernel lets go of it when nothing uses it any more."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    paths = [ctypes.create_string_buffer(os.fsencode(path)) for path in (new_root, put_old)]
    _syscall("pivot_root", *map(ctypes.addressof, paths))


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends. Lost when its user changes."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """No program started from here on gains rights through its file."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_inspection() -> None:
    """No process without capabilities may trace this one or read its memory."""
    _prctl(_PR_SET_DUMPABLE, 0)


def empty_bounding_set() -> None:
    """No program started from here on can gain any capability."""
    for capability in range(_HIGHEST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # past the last one that this kernel knows


def drop_capabilities() -> None:
    """Give up every capability of this thread."""
    _syscall("capset", ctypes.addressof(_capability_header), ctypes.addressof(_no_capabilities))


def install_filter(program: ctypes.Structure) -> None:
    """Have a seccomp program judge every system call of this thread and those it starts."""
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _prctl(option: int, argument: int, more: int = 0) -> None:
    _check(_libc.prctl(option, argument, more, 0, 0))


def _syscall(name: str, first: int, second: int) -> None:
    """A call that the C library has no function for."""
    if name not in _OWN_NUMBERS:
        raise OSError(f"the number of {name} on {platform.machine()} is not known")
    _check(_libc.syscall(_OWN_NUMBERS[name], first, second))


def _check(result: int, path: str | None = None) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
