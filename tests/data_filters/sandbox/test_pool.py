"""How runs end, and that a sandbox serves on whatever happens, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from data_filters.sandbox import pool
from data_filters.sandbox.inmate import Inmate
from data_filters.sandbox.layers import Layer
from data_filters.sandbox.pool import Sandbox, shared_sandbox
from data_filters.sandbox.runs import Ending, Limits, Run
from data_filters.sandbox.server_process import ServerLostError

RunProgram = Callable[..., Run]
Start = Callable[..., Inmate]
Tree = Callable[[Sandbox], list[int]]
Await = Callable[[Iterable[int]], None]

SPIN = "while True: pass"
SLEEP = "import time; time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "limits", "ending", "detail"),
    [
        ("print(1)", {}, Ending.FINISHED, ""),
        ("exit()", {}, Ending.FINISHED, ""),
        ("raise SystemExit(3)", {}, Ending.CRASHED, "exit code 3"),
        ("raise SystemExit('why')", {}, Ending.CRASHED, "exit code 1"),
        ("import os; os._exit(7)", {}, Ending.CRASHED, "exit code 7"),
        ("import os; os.abort()", {}, Ending.CRASHED, "ended by SIGSEGV"),  # the first process of a namespace
        ("import ctypes; ctypes.string_at(0)", {}, Ending.CRASHED, "ended by SIGSEGV"),
        (SPIN, {"seconds": 0.2}, Ending.TIMEOUT, "no end within 0.2 s"),
        (SLEEP, {"seconds": 0.2}, Ending.TIMEOUT, "no end within 0.2 s"),
        (SPIN, {"cpu_seconds": 0.2}, Ending.TIMEOUT, "used 0.2"),
        ("import os\nos._exit = exit = print\n" + SPIN, {"cpu_seconds": 0.2}, Ending.TIMEOUT, "used 0.2"),
        ("import os\nwhile True: os.write(1, bytes(9999))", {"output_bytes": 20_000}, Ending.OUTPUT_FLOOD, "20000"),
        ("import os\nwhile True: os.write(2, bytes(9999))", {"output_bytes": 20_000}, Ending.OUTPUT_FLOOD, "20000"),
        ("import os\nwhile True: os.write(4, bytes(9999))", {"reply_bytes": 20_000}, Ending.OUTPUT_FLOOD, "20000"),
        ("import os\nos.write(4, b'\\xff' * 8)\n" + SLEEP, {}, Ending.OUTPUT_FLOOD, "4294967295 bytes"),
    ],
)  # fmt: skip
def test_every_ending_has_its_name(
    sandbox: Sandbox, start: Start, program: str, limits: dict[str, float], ending: Ending, detail: str
) -> None:
    with start(sandbox, program, **limits) as inmate:
        inmate.receive()
        ended = inmate.wait()

    assert ended.ending == ending
    assert detail in ended.detail


@pytest.mark.parametrize(
    "program",
    ["x = bytearray(1 << 33)", "x = []\nwhile True: x.append(bytes(1 << 20))", "x = '1'\nwhile True: x += x"],
)
def test_a_program_that_needs_too_much_memory_is_told_so(
    sandbox: Sandbox, start: Start, program: str
) -> None:
    with start(sandbox, program, memory_bytes=256 << 20) as inmate:
        raised = inmate.receive()
        ended = inmate.wait()

    assert ended.ending == Ending.MEMORY or (raised is not None and b"MemoryError" in raised)
    assert ended.memory_bytes < 300 << 20


def test_the_control_group_ends_what_the_process_limits_would_let_through(run: RunProgram) -> None:
    program = "import os\nwith open('file', 'wb') as file: file.write(bytes(8 << 20))\nx = bytearray(1 << 30)"
    with Sandbox(without=frozenset({Layer.RLIMITS})) as sandbox:
        if Layer.CGROUP in sandbox.missing:
            return  # few users may make one
        ended = run(sandbox, program, memory_bytes=128 << 20)

        assert ended.ending == Ending.MEMORY
        assert run(sandbox, "print(1)").stdout == b"1\n"


def test_what_a_program_prints_is_kept_up_to_its_limit(sandbox: Sandbox, run: RunProgram) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); print('x' * {})"

    assert run(sandbox, program.format(5)).stdout == b"out\nxxxxx\n"
    assert run(sandbox, program.format(5)).stderr == b"err\n"
    flood = run(sandbox, program.format(100_000), output_bytes=1000)
    assert flood.ending == Ending.OUTPUT_FLOOD
    assert len(flood.stdout) == 1000


def test_messages_of_any_size_pass_both_ways(sandbox: Sandbox) -> None:
    text = "x" * (10 << 20)
    program = f"import os, struct; m = b'y' * len('''{text}'''); os.set_blocking(4, True)\n"
    program += "m = struct.pack('!I', len(m)) + m\nwhile m: m = m[os.write(4, m):]"
    with sandbox.start("data_filters.sandbox.harness.script", Limits(seconds=30)) as inmate:
        inmate.send(json.dumps({"setup": "", "code": program, "input": ""}).encode())
        assert inmate.receive() == b"y" * len(text)
        assert inmate.receive() is None
        assert inmate.wait().ending == Ending.FINISHED


def test_receiving_gives_up_after_its_time_and_the_run_goes_on(sandbox: Sandbox, start: Start) -> None:
    with start(sandbox, "import time; time.sleep(0.5)") as inmate:
        assert inmate.receive(0.05) is None
        assert inmate.wait().ending == Ending.FINISHED


def test_a_run_that_the_caller_leaves_is_killed(sandbox: Sandbox, start: Start, tree: Tree) -> None:
    with start(sandbox, SLEEP) as inmate:
        pass

    assert inmate.wait().ending == Ending.KILLED
    assert len(tree(sandbox)) == 2


def test_one_thread_cannot_start_a_second_run_before_it_has_waited(sandbox: Sandbox, start: Start) -> None:
    with start(sandbox, SLEEP), pytest.raises(RuntimeError, match="wait for the last inmate"):
        start(sandbox, SLEEP)


def test_threads_wait_for_each_other(sandbox: Sandbox, run: RunProgram) -> None:
    outputs: list[bytes] = []
    threads = [
        threading.Thread(target=lambda number=number: outputs.append(run(sandbox, f"print({number})").stdout))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outputs) == sorted(b"%d\n" % number for number in range(20))


@pytest.mark.parametrize("victim", [0, 1], ids=["keeper", "server"])
def test_a_server_that_dies_in_a_run_is_no_fault_of_the_program(
    start_running: Start, run: RunProgram, tree: Tree, victim: int, await_end: Await
) -> None:
    with Sandbox() as sandbox:
        with start_running(sandbox, SLEEP) as inmate:
            processes = tree(sandbox)
            assert len(processes) == 3
            os.kill(processes[victim], signal.SIGKILL)
            ended = inmate.wait()

        assert ended.ending == Ending.INFRASTRUCTURE
        await_end(processes)
        assert run(sandbox, "print(1)").stdout == b"1\n"


def test_a_server_that_dies_between_two_runs_is_replaced(
    run: RunProgram, tree: Tree, await_end: Await
) -> None:
    with Sandbox() as sandbox:
        run(sandbox, "print(1)")
        processes = tree(sandbox)
        os.kill(processes[1], signal.SIGKILL)
        await_end(processes[1:])

        assert run(sandbox, "print(2)").stdout == b"2\n"


def test_a_stopped_server_is_ended_and_the_run_has_no_fault(
    start_running: Start, tree: Tree, monkeypatch: pytest.MonkeyPatch, await_end: Await
) -> None:
    monkeypatch.setattr("data_filters.sandbox.inmate._SECONDS_TO_END", 0.3)
    with Sandbox() as sandbox:
        with start_running(sandbox, SPIN, cpu_seconds=30) as inmate:
            processes = tree(sandbox)
            os.kill(processes[1], signal.SIGSTOP)
            inmate.kill()
            inmate.wait()
        await_end(processes)


CALLER = """
import json, sys, time
from data_filters.sandbox.pool import Sandbox
from data_filters.sandbox.runs import Limits
sandbox = Sandbox()
inmate = sandbox.start("data_filters.sandbox.harness.script", Limits(seconds=60))
program = "import os; os.write(4, bytes([0, 0, 0, 2]) + b'up')\\nwhile True: pass"
inmate.send(json.dumps({"setup": "", "code": program, "input": ""}).encode())
inmate.receive()
print(sandbox._server._process.pid, flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_caller_that_is_killed(
    below: Callable[[int], list[int]], await_end: Await
) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [Path(pool.__file__).parents[2], *sys.path]))
    }
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert caller.stdout is not None
    keeper = int(caller.stdout.readline())
    processes = below(keeper)
    assert len(processes) == 3

    caller.kill()
    caller.wait()
    caller.stdout.close()

    await_end(processes)
    assert control_groups(keeper) == []


def test_many_runs_leave_no_process_file_descriptor_or_mount(
    run: RunProgram, tree: Tree, await_end: Await
) -> None:
    with Sandbox() as sandbox:
        run(sandbox, "print(1)")
        keeper, server = tree(sandbox)
        before = open_files(), open_files(server), mounts(server), temporary()
        for number in range(200):
            run(sandbox, f"open('file', 'w').write('{number}')\nprint({number})")

        assert tree(sandbox) == [keeper, server]
        assert (open_files(), open_files(server), mounts(server), temporary()) == before
    await_end([keeper, server])
    assert control_groups(keeper) == []


def test_a_forked_child_has_a_server_of_its_own_and_leaves_its_parent_s_alone(
    sandbox: Sandbox, run: RunProgram
) -> None:
    run(sandbox, "print(1)")
    child = os.fork()
    if child == 0:
        try:
            fine = run(sandbox, "print(2)").stdout == b"2\n"
            sandbox.close()
        finally:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run(sandbox, "print(3)").stdout == b"3\n"


def test_shared_sandboxes_are_told_apart_by_what_they_are_for() -> None:
    first = shared_sandbox("a", ["seccomp"])

    assert shared_sandbox("a", ["seccomp"]) is first
    assert shared_sandbox("a") is not first
    assert shared_sandbox("b", ["seccomp"]) is not first
    pool.close()


def test_modules_that_are_preloaded_are_there_at_once(printed: Callable[..., str]) -> None:
    with Sandbox(preload=(*pool.HARNESSES, "numpy")) as sandbox:
        program = "import sys; print('numpy' in sys.modules); import numpy; print(numpy.eye(2) @ [2, 8])"
        assert printed(sandbox, program).split("\n") == ["True", "[2. 8.]"]
    with Sandbox() as sandbox:
        assert printed(sandbox, program).split("\n") == ["False", "[2. 8.]"]


def test_a_harness_that_does_not_exist_is_an_error_that_says_so() -> None:
    with (
        Sandbox(preload=("no_such_harness",)) as sandbox,
        pytest.raises(ServerLostError, match="no_such_harness"),
    ):
        _ = sandbox.layers


def open_files(process: int | None = None) -> int:
    folder = Path(f"/proc/{process or os.getpid()}/fd")
    return len(list(folder.iterdir())) if os.access(folder, os.R_OK) else 0


def mounts(process: int) -> int:
    return len(Path(f"/proc/{process}/mountinfo").read_text().splitlines())


def temporary() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("hermes-sandbox-*"))


def control_groups(keeper: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/hermes-sandbox-{keeper}-*"))
