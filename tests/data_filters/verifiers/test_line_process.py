"""A process beside this one answers line by line, finds this package and nothing more, and ends when it must."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import data_filters
from data_filters.verifiers.line_process import LineProcess

Await = Callable[[Iterable[int]], None]

PROGRAM = """
import json, os, pathlib, subprocess, sys, time
print("ready", flush=True)
for line in sys.stdin:
    match line.strip():
        case "path":
            print(json.dumps(sys.path), flush=True)
        case "sleep":
            child = subprocess.Popen(["sleep", "600"])
            pathlib.Path(os.environ["CHILD"]).write_text(str(child.pid))
            time.sleep(600)
        case "end":
            os._exit(3)
        case word:
            print(word, flush=True)
"""


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LineProcess]:
    (tmp_path / "answering.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = LineProcess("answering")
    yield process
    process.kill()


def test_each_line_gets_its_reply_from_one_process(process: LineProcess) -> None:
    assert process.pid is None
    assert process.exchange(b"one\n", 20) == b"one\n"
    first = process.pid
    assert process.exchange(b"two\n", 20) == b"two\n"
    assert process.pid == first is not None


def test_it_finds_this_package_and_none_of_the_modules_inside_as_if_they_were_alone(
    process: LineProcess,
) -> None:
    package = Path(data_filters.__file__).parent

    searched = [Path(entry) for entry in json.loads(process.exchange(b"path\n", 20) or b"[]")]

    assert package.parent in searched
    assert not any(entry == package or package in entry.parents for entry in searched)


def test_what_takes_too_long_is_killed_with_what_it_started_and_the_next_line_is_answered(
    process: LineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, await_end: Await
) -> None:
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))
    process.start()
    first = process.pid
    assert first is not None

    with pytest.raises(TimeoutError):
        process.exchange(b"sleep\n", 2)

    await_end([first, int((tmp_path / "child").read_text())])
    assert process.exchange(b"one\n", 20) == b"one\n"


def test_a_process_that_ends_replies_nothing_and_the_next_line_is_answered(process: LineProcess) -> None:
    assert process.exchange(b"end\n", 20) is None
    assert process.exchange(b"one\n", 20) == b"one\n"


def test_a_module_that_cannot_be_started_is_told_with_the_command_to_try() -> None:
    with pytest.raises(RuntimeError, match=r"does not start; run `.* -P -m no_such_module`"):
        LineProcess("no_such_module").start()
