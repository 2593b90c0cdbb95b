"""A guarded function ends in time whatever it does, and the next question is answered."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from data_filters.verifiers import guarded
from data_filters.verifiers.guarded import Ending, GuardedFunction

Await = Callable[[Iterable[int]], None]

MODULE = """
import ctypes, os, time

def prepare():
    print("noise on the way up")

def answer(question):
    print("noise in between")
    kind = question["kind"]
    if kind == "echo":
        return question["value"]
    if kind == "raise":
        raise ValueError("no")
    if kind == "exit":
        os._exit(3)
    if kind == "leave":
        os._exit(0)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "memory":
        return len(bytearray(4 << 30))
    if kind == "pid":
        return os.getpid()
    if kind == "write":
        with open(question["path"], "w") as file:
            file.write("x" * 100000)
    while True:
        pass
"""


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuardedFunction]:
    (tmp_path / "hostile_module.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    function = GuardedFunction("hostile_module")
    yield function
    function.close()


def test_a_value_comes_back_as_it_was_sent(function: GuardedFunction) -> None:
    value = {"text": "a\nb\u00e9\x00", "numbers": [1, 2.5, None], "long": "x" * 300_000}

    assert function.ask({"kind": "echo", "value": value}, 5).value == value


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("raise", Ending.RAISED),
        ("exit", Ending.CRASHED),
        ("leave", Ending.CRASHED),
        ("segfault", Ending.CRASHED),
        ("memory", Ending.MEMORY),
        ("loop", Ending.TIMEOUT),
    ],
)
def test_each_way_to_end_badly_has_its_name_and_the_next_question_is_answered(
    function: GuardedFunction, kind: str, ending: Ending
) -> None:
    assert function.ask({"kind": kind}, 0.3).ending == ending
    assert function.ask({"kind": "echo", "value": 1}, 5).value == 1


def test_after_a_timeout_the_next_child_starts_without_importing_again(function: GuardedFunction) -> None:
    function.ask({"kind": "loop"}, 0.2)

    started = time.perf_counter()
    function.ask({"kind": "echo", "value": 1}, 5)

    assert time.perf_counter() - started < 0.2


def test_nothing_is_written_to_a_file(function: GuardedFunction, tmp_path: Path) -> None:
    target = tmp_path / "written"

    reply = function.ask({"kind": "write", "path": str(target)}, 2)

    assert reply.ending != Ending.ANSWERED
    assert not target.exists() or target.stat().st_size == 0


def test_closing_leaves_no_process(function: GuardedFunction, await_end: Await) -> None:
    child = function.ask({"kind": "pid"}, 5).value

    function.close()

    await_end([child])


def test_a_module_that_does_not_exist_is_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="does not start"):
        GuardedFunction("no_such_module").ask({}, 1)


def test_a_process_shares_one_function_per_module() -> None:
    assert guarded.shared("some_module") is guarded.shared("some_module")
    assert guarded.shared("some_module") is not guarded.shared("another_module")
