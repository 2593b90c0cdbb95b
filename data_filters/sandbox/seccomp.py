"""The system calls that an inmate may make, as a program for the kernel's seccomp filter.

What is not named is refused. A program built here is a list of classic BPF instructions: `(code, jump if true, jump if
false, operand)`, with jumps counted in instructions that are skipped. It looks the call's number up by a
binary search, because the kernel runs it once for every call there is when it is installed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import itertools
import operator
import platform
from collections.abc import Mapping

from data_filters.sandbox.syscall_numbers import HIGHEST, numbers

Instruction = tuple[int, int, int, int]
Block = tuple[Instruction, ...]

_LOAD, _AND, _JUMP = 0x20, 0x54, 0x05
_IF_EQUAL, _IF_NOT_LESS, _IF_ANY_BIT, _RETURN = 0x15, 0x35, 0x45, 0x06

_ALLOW: Block = ((_RETURN, 0, 0, 0x7FFF0000),)
_KILL: Block = ((_RETURN, 0, 0, 0x80000000),)

# Where the kernel's struct seccomp_data holds them; both machines are little-endian.
_NUMBER, _ARCHITECTURE = 0, 4
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
"""Set in the numbers of the second set of calls that x86_64 has."""
_FARTHEST_JUMP = 255

_CLONE_THREAD = 0x00010000
_CLONE_NEW_NAMESPACES = 0x7E020080
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_F_SETOWN_EX = 15
_TERMINAL_AND_QUEUE_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""


def program(machine: str, process: int) -> list[Instruction]:
    """The filter for an inmate whose process number, as it sees it itself, is `process`.

    Raises KeyError for a machine that is not known (see `syscall_numbers`).
    """
    rules = _rules(process)
    blocks = {number: rules.get(name, _ALLOW) for name, number in numbers(machine).items()}
    body = _search(_ranges(blocks))
    if machine == "x86_64":
        body = ((_IF_NOT_LESS, 0, 1, _X32_BIT), *_refuse(errno.ENOSYS), *body)
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        *_KILL,
        (_LOAD, 0, 0, _NUMBER),
        *body,
    ]


@functools.cache
def filter_for(process: int) -> ctypes.Structure:
    """The program for this machine in the form in which the kernel takes it. Raises OSError where there is none."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(f"no filter is written for {machine}; there is one for {', '.join(_ARCHITECTURES)}")
    instructions = program(machine, process)
    array = (_SockFilter * len(instructions))(*(_SockFilter(*instruction) for instruction in instructions))
    return _SockFprog(len(instructions), array)


class _SockFilter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


def _rules(process: int) -> dict[str, Block]:
    """The calls whose arguments decide, and those that are refused in a way of their own."""
    to_itself = _if_one_of(0, [process], _ALLOW, _refuse(errno.EPERM))
    stream = (_load(1), (_AND, 0, 0, _SOCK_TYPE_MASK), (_IF_EQUAL, 0, 1, _SOCK_STREAM), *_ALLOW)
    return {
        # Threads yes, processes no. The newer call hides its flags in memory; without it libraries use the older.
        "clone": (
            _load(0),
            (_IF_ANY_BIT, 0, 2, _CLONE_THREAD),
            (_IF_ANY_BIT, 1, 0, _CLONE_NEW_NAMESPACES),
            *_ALLOW,
            *_refuse(errno.EPERM),
        ),
        "clone3": _refuse(errno.ENOSYS),
        "kill": to_itself,
        "tgkill": to_itself,
        "rt_tgsigqueueinfo": to_itself,
        "prlimit64": _if_one_of(0, [0, process], _ALLOW, _refuse(errno.EPERM)),
        "prctl": _if_one_of(0, [_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA], _ALLOW, _refuse(errno.EPERM)),
        "ioctl": _if_one_of(1, _TERMINAL_AND_QUEUE_IOCTLS, _ALLOW, _refuse(errno.ENOTTY)),
        # These have the kernel send signals, to others too.
        "fcntl": _if_one_of(
            1,
            [fcntl.F_SETOWN, fcntl.F_SETSIG, _F_SETOWN_EX, fcntl.F_NOTIFY, fcntl.F_SETLEASE],
            _refuse(errno.EPERM),
            _ALLOW,
        ),
        # A pair of connected sockets reaches nobody, as long as no other address is given for a message.
        "socketpair": (*_if_one_of(0, [_AF_UNIX], (*stream, *_refuse(errno.EPERM)), _refuse(errno.EPERM)),),
        "sendto": (
            _load(4),
            (_IF_EQUAL, 0, 3, 0),
            _load(4, upper=True),
            (_IF_EQUAL, 0, 1, 0),
            *_ALLOW,
            *_refuse(errno.EPERM),
        ),
    }


def _refuse(number: int) -> Block:
    return ((_RETURN, 0, 0, 0x00050000 | number),)


def _load(argument: int, upper: bool = False) -> Instruction:
    """Load one half of an argument."""
    return (_LOAD, 0, 0, 16 + 8 * argument + (4 if upper else 0))


def _if_one_of(argument: int, values: list[int] | tuple[int, ...], then: Block, otherwise: Block) -> Block:
    """Compare the lower half of an argument, which is all that the kernel reads of an int."""
    tests = tuple(
        (_IF_EQUAL, len(values) - index - 1 + len(otherwise), 0, value) for index, value in enumerate(values)
    )
    return (_load(argument), *tests, *otherwise, *then)


def _ranges(blocks: Mapping[int, Block]) -> list[tuple[int, Block]]:
    """The first number of each run of numbers that are answered alike, and the answer, in order."""
    refused = _refuse(errno.EPERM)
    answers = [(number, blocks.get(number, refused)) for number in range(HIGHEST + 1)]
    answers.append((HIGHEST + 1, _refuse(errno.ENOSYS)))
    return [next(run) for _, run in itertools.groupby(answers, key=operator.itemgetter(1))]


def _search(ranges: list[tuple[int, Block]]) -> Block:
    """Find the range that the loaded number lies in."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    lower, upper = _search(ranges[:middle]), _search(ranges[middle:])
    start = ranges[middle][0]
    if len(lower) <= _FARTHEST_JUMP:
        return ((_IF_NOT_LESS, len(lower), 0, start), *lower, *upper)
    return ((_IF_NOT_LESS, 0, 1, start), (_JUMP, 0, 0, len(lower)), *lower, *upper)
