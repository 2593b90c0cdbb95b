"""The pack stage that is killed, or finds no room, loses nothing and leaves nothing half written."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pack_rows import ROOT, contents, sample, write_rows

KILLS = 4


def test_a_disk_without_room_ends_in_one_clear_line_and_leaves_no_half_written_shard(packed_runs, tmp_path):
    shutil.copytree(packed_runs / "smoke", tmp_path / "smoke")
    shutil.rmtree(tmp_path / "smoke" / "pack")
    # The largest file may have 32 KiB: writing a shard fails as it does on a full disk.
    limited = 'ulimit -f 32; exec "$@"'
    command = [sys.executable, "-m", "hermes_train", "pack", "recipes/smoke.yaml", "--runs", str(tmp_path)]

    done = subprocess.run(["bash", "-c", limited, "bash", *command], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large; nothing that was finished is lost" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "smoke" / "pack" / "sft").glob("*.arrow")) == []

    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "smoke" / "pack" / "hybrid").keys()


PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pack_rows import inputs_for
from hermes_train.stages.pack import make_packs
if __name__ == "__main__":
    prepared, filtered, folder = map(Path, sys.argv[2:5])
    # Some of the thoughts pass the budget, some do not.
    control = "{budget: 145, share: 0.1, thoughts: kept}"
    make_packs(inputs_for(prepared, filtered, workers=2, hybrid__length_control=control), folder)
"""


def start(prepared, filtered, folder):
    program = folder.parent / "program.py"
    program.write_text(PROGRAM)
    command = [
        sys.executable,
        str(program),
        str(Path(__file__).parent),
        *map(str, (prepared, filtered, folder)),
    ]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)


@pytest.mark.long
def test_kills_at_random_moments_change_no_byte_of_stores_packs_and_pairs(prepared, tmp_path):
    rows = (sample(number, thought_words=40) for number in range(12_000))
    filtered = write_rows(tmp_path / "filter", rows)
    started = time.monotonic()
    assert start(prepared, filtered, tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - started
    draw = random.Random(0)
    killed = 0
    while killed < KILLS:
        process = start(prepared, filtered, tmp_path / "killed")
        try:
            process.wait(draw.uniform(0.4, 1) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1

    assert start(prepared, filtered, tmp_path / "killed").wait() == 0

    expected, found = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert {
        "sft/store.json",
        "sft/index.npz",
        "sft/documents-00011.arrow",
        "hybrid/documents-00000.arrow",
    } <= set(expected)
    assert found == expected


@pytest.mark.long
def test_processes_of_the_stage_end_when_it_is_killed(prepared, filtered, tmp_path, await_end):
    import psutil

    process = start(prepared, filtered, tmp_path / "pack")
    while not list((tmp_path / "pack" / "sft").glob(".documents-*")):
        assert process.poll() is None
        time.sleep(0.01)
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    process.kill()
    process.wait()

    assert children
    await_end(children)
