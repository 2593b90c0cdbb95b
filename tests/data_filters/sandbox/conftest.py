"""Programs in a real sandbox, and a look at them from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_filters.sandbox.inmate import Inmate
from data_filters.sandbox.pool import Sandbox
from data_filters.sandbox.runs import Ending, Limits, Run

SCRIPT = "data_filters.sandbox.harness.script"
ANNOUNCE = "import os; os.write(4, bytes([0, 0, 0, 2]) + b'up')\n"
"""Has a program send a message to its caller: 4 is its end of the line."""
Start = Callable[..., Inmate]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A warm sandbox with every layer that this machine has."""
    with Sandbox() as warm:
        yield warm


@pytest.fixture
def start() -> Start:
    """Starts a program in a sandbox and leaves it running."""

    def started(sandbox: Sandbox, program: str, **limits: float) -> Inmate:
        inmate = sandbox.start(SCRIPT, Limits(**({"seconds": 30.0} | limits)))
        inmate.send(json.dumps({"setup": "", "code": program, "input": ""}).encode())
        return inmate

    return started


@pytest.fixture
def start_running(start: Start) -> Start:
    """The same, and waits until the program runs."""

    def started(sandbox: Sandbox, program: str, **limits: float) -> Inmate:
        inmate = start(sandbox, ANNOUNCE + program, **limits)
        assert inmate.receive() == b"up"
        return inmate

    return started


@pytest.fixture
def run(start: Start) -> Callable[..., Run]:
    """Runs a program to its end."""

    def ran(sandbox: Sandbox, program: str, **limits: float) -> Run:
        with start(sandbox, program, **limits) as inmate:
            return inmate.wait()

    return ran


@pytest.fixture
def printed(start: Start) -> Callable[..., str]:
    """Runs a program that must come to a good end, and gives what it printed."""

    def shown(sandbox: Sandbox, program: str, **limits: float) -> str:
        with start(sandbox, program, **limits) as inmate:
            raised = inmate.receive()
            ended = inmate.wait()
        assert raised is None, raised
        assert ended.ending == Ending.FINISHED, ended
        return ended.stdout.decode().strip()

    return shown


@pytest.fixture
def below() -> Callable[[int], list[int]]:
    """Gives a process and all its living descendants, parents first."""
    return processes_below


@pytest.fixture
def tree() -> Callable[[Sandbox], list[int]]:
    """Gives the processes of a sandbox, as numbered outside: keeper, server, and the inmate if there is one."""

    def processes_of(sandbox: Sandbox) -> list[int]:
        server = sandbox._server
        assert server is not None
        assert server._process is not None
        return processes_below(server._process.pid)

    return processes_of


def processes_below(process: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended in the meantime
        if "\nState:\tZ" not in text:
            parents[int(status.parent.name)] = int(text.partition("\nPPid:")[2].split()[0])
    found = [process]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found
