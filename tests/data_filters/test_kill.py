"""A run killed at any moments, merge and passes over all rows among them, ends with the files of an unbroken run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_filters.files import write_jsonl
from data_filters.settings import (
    DataSettings,
    DuplicatesSettings,
    EngineSettings,
    NearDuplicatesSettings,
    Source,
)

KILLS = 5
PROGRAM = """
import sys
from pathlib import Path
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings
if __name__ == "__main__":
    run_filter(DataSettings.model_validate_json(sys.argv[1]), [], Path(sys.argv[2]))
"""
SECONDS = re.compile(r'"seconds": ?(\{[^}]*\}|[0-9.e-]+)')


def settings(folder: Path) -> DataSettings:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {number % 1500} + 2?"},
                {
                    "role": "assistant",
                    "content": f"<think>That is {number % 1500 + 2}.</think>{number % 1500 + 2}",
                },
            ],
            "answer": str(number % 1500 + 2 + (number % 11 == 0)),
        }
        for number in range(2000)
    ]
    write_jsonl(folder / "rows.jsonl", rows)
    return DataSettings(
        sources=[
            Source(name="file", path=str(folder / "rows.jsonl"), task="math"),
            Source(name="made", synthetic="sums", mode="think", rows=300, faults=0.3),
        ],
        duplicates=DuplicatesSettings(near=NearDuplicatesSettings()),
        engine=EngineSettings(workers=2, tasks=12),
    )


def start(data: DataSettings, out: Path) -> subprocess.Popen[bytes]:
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), data.model_dump_json(), str(out)]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}, start_new_session=True)


def files(out: Path) -> dict[str, str]:
    """The files of a run, without the seconds of its checks; nothing else may be left in the folder."""
    return {
        entry.name: SECONDS.sub("", entry.read_text())
        for entry in sorted(out.iterdir())
        if entry.name != "logs"
    }


@pytest.mark.long
def test_kills_at_random_moments_change_nothing_of_what_is_written(tmp_path: Path) -> None:
    data = settings(tmp_path)
    started = time.monotonic()
    assert start(data, tmp_path / "whole").wait() == 0
    whole = time.monotonic() - started
    draw = random.Random(0)
    killed = 0
    while killed < KILLS:
        process = start(data, tmp_path / "killed")
        try:
            process.wait(draw.uniform(0.3, 1) * whole)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1

    assert start(data, tmp_path / "killed").wait() == 0

    expected = files(tmp_path / "whole")
    assert set(expected) == {"kept.jsonl", "rejected.jsonl", "verdicts.jsonl", "figures.json"}
    assert len(expected["verdicts.jsonl"].splitlines()) == 2300
    assert json.loads((tmp_path / "whole" / "figures.json").read_text())["kept"] > 1000
    assert files(tmp_path / "killed") == expected


@pytest.mark.long
def test_a_worker_that_is_killed_ends_the_run_with_a_word_and_the_next_run_goes_on(tmp_path: Path) -> None:
    import psutil

    data = settings(tmp_path)
    out = tmp_path / "out"
    process = start(data, out)
    while len(list(out.glob("shards/*/[0-9]*"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "forkserver" in " ".join(child.cmdline())
    ]
    workers[-1].kill()
    assert process.wait() == 1

    assert start(data, out).wait() == 0
    assert len((out / "verdicts.jsonl").read_text().splitlines()) == 2300


@pytest.mark.long
def test_workers_end_when_the_run_that_started_them_is_killed(tmp_path: Path) -> None:
    import psutil

    process = start(settings(tmp_path), tmp_path / "out")
    while len(list((tmp_path / "out").glob("shards/*/[0-9]*"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()

    assert started
    assert psutil.wait_procs(started, timeout=10)[1] == []
