"""A stage killed at any moment goes on to what the unbroken one gives."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_train.runs import STAGES
from hermes_train.training.watch.metrics import read_metrics

pytestmark = pytest.mark.long


def start(smoke, runs):
    """Start a run in a process group of its own, so that a kill reaches its workers too."""
    command = [sys.executable, "-m", "hermes_train", "run", str(smoke), "--runs", str(runs)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(condition, process, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before the moment to kill it"
        assert time.monotonic() < limit, "the moment to kill the run never came"
        time.sleep(0.005)


def losses(run, stage):
    return [(line["step"], line["loss"]) for line in read_metrics(run / stage / "metrics.jsonl")]


def rows(run, name):
    """The rows of a file, without the time that their checks took."""
    lines = [json.loads(line) for line in (run / "filter" / name).read_text().splitlines()]
    for line in lines:
        line.get("verdict", {}).pop("seconds", None)
    return lines


def kill_in(stage, smoke, runs):
    """Let a run go on and kill it in the middle of a stage, at a moment that no one chose."""
    folder = runs / "smoke" / stage / ("dpo" if stage == "evaluate" else "")
    # After the first checkpoint and a few steps more: those steps must come again, and only once.
    steps = {"sft": 11, "hybrid": 5, "dpo": 5}.get(stage)
    # A short stage may end before the kill comes; then the next attempt waits less.
    for longest_wait in (0.3, 0.05, 0, 0, 0):
        process = start(smoke, runs)
        if steps:
            wait_for(lambda: len(read_metrics(folder / "metrics.jsonl")) >= steps, process)
        else:
            wait_for((folder / "started.json").exists, process)
            time.sleep(random.uniform(0, longest_wait))
        kill(process)
        if not (folder / "manifest.json").exists():
            return
        for later in STAGES[STAGES.index(stage) :]:
            shutil.rmtree(runs / "smoke" / later, ignore_errors=True)
    pytest.fail(f"{stage} ended before the kill at every attempt")


def test_a_run_killed_in_the_middle_of_each_stage_ends_as_the_unbroken_one(
    finished_run, tmp_path, smoke, hermes_train
):
    run = tmp_path / "smoke"
    for stage in STAGES:
        kill_in(stage, smoke, tmp_path)

    done = hermes_train("run", smoke, "--runs", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    for training in ("sft", "hybrid", "dpo"):
        assert losses(run, training) == losses(finished_run, training)
    for name in ("kept.jsonl", "rejected.jsonl"):
        assert rows(run, name) == rows(finished_run, name)
    exported = Path("export/model/model.safetensors")
    assert (run / exported).read_bytes() == (finished_run / exported).read_bytes()


def test_a_finished_run_does_nothing_when_it_is_started_again(finished_run, hermes_train, smoke):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*.safetensors")}

    done = hermes_train("run", smoke, "--runs", finished_run.parent)

    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines()[: len(STAGES)]] == ["done"] * len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*.safetensors")} == before


def test_a_changed_setting_is_named_and_only_the_stages_after_it_run_again(
    finished_run, tmp_path, hermes_train, smoke
):
    shutil.copytree(finished_run, tmp_path / "smoke")

    done = hermes_train("run", smoke, "--runs", tmp_path, "-o", "dpo.beta=0.2")

    standing: dict[str, str] = {}
    for line in done.stdout.splitlines():
        # The lines of a stage's own progress come after the one that says where it stands.
        if line.startswith(STAGES):
            standing.setdefault(*line.split(maxsplit=1))
    assert [stage for stage in STAGES if standing[stage] == "done"] == [
        "prepare",
        "filter",
        "pack",
        "sft",
        "hybrid",
    ]
    assert standing["dpo"] == "out of date: recipe.dpo.beta changed"


def test_a_checkpoint_that_was_cut_off_is_not_resumed_from(finished_run, tmp_path, smoke, hermes_train):
    run = tmp_path / "smoke"
    process = start(smoke, tmp_path)
    wait_for(lambda: len(read_metrics(run / "sft" / "metrics.jsonl")) >= 18, process)
    kill(process)
    newest = max((run / "sft").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    (newest / "complete.json").unlink(missing_ok=True)
    (newest / "model.safetensors").write_bytes(b"cut")

    done = hermes_train("run", smoke, "--runs", tmp_path, "--until", "sft")

    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(run, "sft") == losses(finished_run, "sft")


def test_a_line_of_metrics_that_a_kill_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n" + '{"step": 2, "lo')

    assert read_metrics(path) == [{"step": 1, "loss": 2.0}]
