"""The filter's program, run here by a small machine for classic BPF, for both kinds of processor."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.sandbox.seccomp import Instruction, program
from data_filters.sandbox.syscall_numbers import HIGHEST, numbers

ALLOWED = 0x7FFF0000
KILLED = 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = pytest.mark.parametrize("machine", ARCHITECTURES)
ARGUMENT_DECIDES = {
    "clone", "clone3", "kill", "tgkill", "rt_tgsigqueueinfo", "prlimit64", "prctl", "ioctl", "fcntl", "socketpair",
    "sendto",
}  # fmt: skip


def refusal(number: int) -> int:
    return 0x00050000 | number


def answer(instructions: list[Instruction], architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would be told about a call."""
    data = [number, architecture, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        data += [argument & 0xFFFFFFFF, argument >> 32]
    place = accumulator = 0
    while True:
        code, if_true, if_false, operand = instructions[place]
        assert 0 <= if_true <= 255
        assert 0 <= if_false <= 255
        place += 1
        match code:
            case 0x06:
                return operand
            case 0x20:
                accumulator = data[operand // 4]
            case 0x54:
                accumulator &= operand
            case 0x05:
                place += operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x35:
                place += if_true if accumulator >= operand else if_false
            case 0x45:
                place += if_true if accumulator & operand else if_false
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def asked(machine: str, name: str, *arguments: int, process: int = 1) -> int:
    return answer(program(machine, process), ARCHITECTURES[machine], numbers(machine)[name], *arguments)


@MACHINES
def test_every_number_is_answered_as_the_table_says(machine: str) -> None:
    instructions = program(machine, 1)
    named = {number: name for name, number in numbers(machine).items()}
    for number in range(HIGHEST + 100):
        found = answer(instructions, ARCHITECTURES[machine], number)
        if named.get(number) in ARGUMENT_DECIDES:
            continue
        if number in named:
            assert found == ALLOWED, named[number]
        else:
            assert found == refusal(errno.EPERM if number <= HIGHEST else errno.ENOSYS), number


@MACHINES
def test_another_processor_s_calls_end_the_program(machine: str) -> None:
    for architecture in (0x40000003, 0x40000028, 0):  # i386, arm, none
        assert answer(program(machine, 1), architecture, 0) == KILLED


def test_the_second_set_of_calls_of_x86_64_is_not_there() -> None:
    for number in (0x40000000, 0x40000001, 0x40000208):
        assert answer(program("x86_64", 1), ARCHITECTURES["x86_64"], number) == refusal(errno.ENOSYS)


@MACHINES
def test_threads_are_allowed_and_processes_are_not(machine: str) -> None:
    thread = 0x3D0F00  # what glibc's pthread_create asks for
    assert asked(machine, "clone", thread) == ALLOWED
    for flags in (
        17,
        0x1200011,
        0x4000 | 0x100,
        thread | 0x10000000,
        thread | 0x20000000,
        thread | 0x40000000,
    ):
        assert asked(machine, "clone", flags) == refusal(errno.EPERM), hex(flags)
    assert asked(machine, "clone3") == refusal(errno.ENOSYS)


@MACHINES
@given(process=st.integers(1, 1 << 22), other=st.integers(-1, 1 << 22))
def test_a_program_may_send_signals_to_itself_alone(machine: str, process: int, other: int) -> None:
    for name in ("kill", "tgkill", "rt_tgsigqueueinfo"):
        assert asked(machine, name, process, process=process) == ALLOWED
        if other != process:
            assert asked(machine, name, other & 0xFFFFFFFF, process=process) == refusal(errno.EPERM)


@MACHINES
def test_a_message_goes_only_where_the_socket_is_connected_to(machine: str) -> None:
    assert asked(machine, "sendto", 4, 1, 2, 0, 0, 0) == ALLOWED
    for address in (0x7FFF1234, 0x7FFF00000000, 1):
        assert asked(machine, "sendto", 4, 1, 2, 0, address, 16) == refusal(errno.EPERM)


@MACHINES
def test_only_pairs_of_local_stream_sockets_can_be_made(machine: str) -> None:
    flags = 0o4000 | 0o2000000  # not blocking, closed at exec
    assert asked(machine, "socketpair", 1, 1) == asked(machine, "socketpair", 1, 1 | flags) == ALLOWED
    for family, kind in ((1, 2), (1, 5), (1, 2 | flags), (2, 1), (16, 3)):
        assert asked(machine, "socketpair", family, kind) == refusal(errno.EPERM)


@MACHINES
def test_limits_of_other_processes_signals_by_files_and_most_controls_are_out_of_reach(machine: str) -> None:
    assert asked(machine, "prlimit64", 0) == asked(machine, "prlimit64", 1) == ALLOWED
    assert asked(machine, "prlimit64", 2) == refusal(errno.EPERM)
    assert asked(machine, "fcntl", 0, 3) == ALLOWED
    assert {asked(machine, "fcntl", 0, command) for command in (8, 10, 15, 1024, 1026)} == {
        refusal(errno.EPERM)
    }
    assert asked(machine, "ioctl", 0, 0x5401) == ALLOWED
    assert asked(machine, "ioctl", 0, 0x5412) == refusal(errno.ENOTTY)  # TIOCSTI
    assert asked(machine, "prctl", 15) == ALLOWED
    assert {asked(machine, "prctl", option) for option in (1, 4, 22, 36, 38)} == {refusal(errno.EPERM)}


def test_a_machine_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        program("riscv64", 1)
