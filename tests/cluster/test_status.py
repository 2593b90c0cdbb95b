"""How a run stands, by its folder alone: finished, at work, stopped in its tracks, killed, damaged, foreign."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from data_filters.errors import UserError
from hermes_train.cluster.attempts.decision import Outcome
from hermes_train.cluster.status import Launcher, RunCard, go_on_command, read_status
from hermes_train.cluster.status.records import (
    Movement,
    Next,
    RunStatus,
    Standing,
)
from hermes_train.runs import STAGES, RunFolder
from hermes_train.training.watch.tries import Try

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
STEPS = 5000


def ask(*arguments: str | Path, code: int = 0) -> str:
    """What `hermes-train status` prints, on stderr where it ends with another code than 0."""
    command = [sys.executable, "-m", "hermes_train", "status", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def standings(status: RunStatus) -> dict[str, Standing]:
    return {stage.stage: stage.standing for stage in status.stages}


# --- A finished run ---


def test_a_finished_run_is_told_with_its_model_and_its_report(finished_run: Path) -> None:
    told = ask(finished_run)

    assert "export/model" in told
    assert "report.html" in told
    assert "not launched on a cluster" in told
    assert set(standings(read_status(finished_run)).values()) == {Standing.DONE}


def test_the_json_holds_every_stage_with_the_time_it_took(finished_run: Path) -> None:
    told = json.loads(ask(finished_run, "--json"))

    assert [stage["stage"] for stage in told["stages"]] == list(STAGES)
    assert all(stage["seconds"] >= 0 for stage in told["stages"])
    assert told["advice"]["next"] == "nothing"


def test_asking_imports_no_torch_and_writes_and_locks_nothing(finished_run: Path) -> None:
    program = """
import sys
from pathlib import Path
touched = []
def hook(event, arguments):
    if event == "open" and (arguments[2] or 0) & 0o103:  # O_WRONLY, O_RDWR, O_CREAT
        touched.append(arguments[0])
    if event in ("fcntl.flock", "fcntl.lockf", "os.rename", "os.remove", "os.mkdir", "os.utime"):
        touched.append(event)
sys.dont_write_bytecode = True
sys.addaudithook(hook)
from hermes_train.cluster.status.command import show_status
show_status(Path(sys.argv[1]), as_json=False, every=None)
assert "torch" not in sys.modules
assert not touched, touched
"""
    run = [sys.executable, "-c", program, str(finished_run)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


# --- A run at work, then stopped in its tracks, then killed ---


@dataclass(frozen=True)
class Moments:
    """One training run at several moments."""

    at_work: RunStatus
    stopped: RunStatus
    """An hour later: it has not moved since."""
    killed: RunStatus
    killed_screen: str
    elsewhere: RunStatus
    """As asked on another host than that of the killed process."""
    elsewhere_later: RunStatus


@pytest.fixture(scope="module")
def moments(packed_runs: Path, smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Moments:
    runs = tmp_path_factory.mktemp("status") / "runs"
    shutil.copytree(packed_runs, runs)
    run = runs / "smoke"
    options = ["-o", f"sft.steps={STEPS}", "--runs", str(runs)]
    command = [sys.executable, "-m", "hermes_train", "sft", str(smoke), *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    try:
        await_checkpoint(run, 16)
        at_work = read_status(run)
        process.send_signal(signal.SIGSTOP)
        stopped = read_status(run, datetime.now(UTC) + HOUR)
    finally:
        process.kill()
        process.wait()
    killed, killed_screen = read_status(run), ask(run)
    lock = run / ".lock"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"host": "elsewhere"}))
    later = datetime.now(UTC) + HOUR
    return Moments(at_work, stopped, killed, killed_screen, read_status(run), read_status(run, later))


def await_checkpoint(run: Path, step: int, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while _saved(read_status(run)) < step:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _saved(status: RunStatus) -> int:
    checkpoint = status.training.checkpoint if status.training else None
    return checkpoint.step if checkpoint else 0


@pytest.mark.long
def test_a_stage_at_work_tells_step_loss_speed_and_time_left(moments: Moments) -> None:
    status = moments.at_work
    training = status.training

    assert standings(status)["sft"] is Standing.AT_WORK
    assert standings(status)["hybrid"] is Standing.MISSING
    assert training is not None
    assert training.movement is Movement.MOVES
    assert training.steps == STEPS
    assert training.step is not None and 16 <= training.step < STEPS
    assert training.loss is not None and 0 < training.loss < 20
    assert training.grad_norm and training.learning_rate and training.tokens_per_second
    assert training.step_seconds is not None and training.seconds_left is not None
    assert training.seconds_left == pytest.approx((STEPS - training.step) * training.step_seconds)
    assert training.checkpoint is not None and training.checkpoint.step % 8 == 0
    assert any("saved: checkpoint-" in line for line in training.log_lines)
    assert status.advice.next is Next.WAIT


@pytest.mark.long
def test_a_stage_that_has_not_moved_for_an_hour_is_pointed_at(moments: Moments) -> None:
    status = moments.stopped

    assert status.training is not None
    assert status.training.movement is Movement.STILL
    assert status.training.seconds_since_last_step == pytest.approx(3600, abs=60)
    assert status.advice.next is Next.LOOK
    assert status.training.log in status.advice.text


@pytest.mark.long
def test_a_killed_stage_is_interrupted_and_its_command_goes_on(moments: Moments, smoke: Path) -> None:
    status = moments.killed
    run = Path(status.run)

    assert standings(status)["sft"] is Standing.INTERRUPTED
    assert status.training is not None
    assert status.training.last_word is None
    assert status.training.seconds_left is None
    assert status.advice.next is Next.GO_ON
    # The recipe as the run was opened with it, by the packs' making.
    assert status.advice.text.endswith(f"hermes-train run {smoke} --runs {run.parent} -o sft.steps={STEPS}")
    assert "its process left no word" in moments.killed_screen
    assert "last whole checkpoint: step" in moments.killed_screen


@pytest.mark.long
def test_a_run_of_another_host_counts_as_at_work_while_its_files_change(
    moments: Moments,
) -> None:
    assert standings(moments.elsewhere)["sft"] is Standing.AT_WORK
    assert standings(moments.elsewhere_later)["sft"] is Standing.UNKNOWN
    assert "on elsewhere has held it since" in moments.elsewhere_later.advice.text


@pytest.mark.long
def test_a_try_that_has_just_begun_is_not_taken_for_one_that_hangs(moments: Moments, tmp_path: Path) -> None:
    run = tmp_path / "smoke"
    shutil.copytree(moments.killed.run, run)
    hours_ago = time.time() - 3 * 3600
    for name in ("metrics.jsonl", "log.txt", "started.json"):
        os.utime(run / "sft" / name, (hours_ago, hours_ago))

    with RunFolder(run).locked():
        assert _movement(run) is Movement.STILL
        (run / "jobs" / "sft").mkdir(parents=True)
        begun = Try(job=7, restart=1, nodes=("n1",), started="2026-11-22T09:14:03+00:00", from_step=8)
        (run / "jobs" / "sft" / "try.json").write_bytes(msgspec.json.encode(begun))
        assert _movement(run) is Movement.BEGINS


def _movement(run: Path) -> Movement | None:
    training = read_status(run).training
    return training.movement if training else None


@pytest.mark.long
def test_half_lines_and_damaged_files_are_named_and_hide_nothing_else(
    moments: Moments, tmp_path: Path
) -> None:
    run = tmp_path / "smoke"
    shutil.copytree(moments.killed.run, run)
    with (run / "sft" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4000, "seconds": 0.1, "loss": NaN}\n{"step": 4001, "lo')
    (run / "filter" / "manifest.json").write_text('{"finished": ')
    (run / "recipe.yaml").write_text("sft: [")
    tries = run / "jobs" / "sft" / "attempts.jsonl"
    tries.parent.mkdir(parents=True)
    line = {
        "job": 7, "restart": 0, "nodes": ["n1", "n2"], "started": "2026-11-22T09:14:03+00:00", "ended": None,
        "from_step": 0, "to_step": 16, "outcome": "rank_lost", "text": "n2 does not answer", "left_out": ["n2"],
    }  # fmt: skip
    tries.write_text(json.dumps(line) + '\n{"job": 7, "rest')

    status = read_status(run)

    assert standings(status)["filter"] is Standing.UNKNOWN
    assert status.training is not None
    assert status.training.step == 4000
    assert status.training.loss != status.training.loss  # NaN
    assert status.training.steps is None
    assert [fault.partition(" ")[0] for fault in status.faults] == ["filter/manifest.json", "recipe.yaml"]
    assert [(attempt.outcome, attempt.left_out) for attempt in status.attempts["sft"]] == [
        (Outcome.RANK_LOST, ("n2",))
    ]
    told = ask(run)
    assert "loss nan" in told
    assert "left out from then on: n2" in told
    assert json.loads(ask(run, "--json"))["training"]["loss"] is None


def test_what_is_barred_is_told_and_the_rest_is_shown(finished_run: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from hermes_train.cluster.status.command import show_status
run = Path(sys.argv[1])
show_status(run, as_json=False, every=None)  # imports all that it needs
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
print("as another user")
show_status(run, as_json=False, every=None)
"""
    # Not below pytest's folder, which other users cannot enter.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        run = Path(folder) / "smoke"
        shutil.copytree(finished_run, run)
        run.chmod(0o755)
        (run / "sft").chmod(0)
        command = [sys.executable, "-c", program, str(run)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        (run / "sft").chmod(0o755)

    assert done.returncode == 0, done.stderr
    told = done.stdout.partition("as another user")[2]
    assert re.search(r"^sft +cannot be told", told, re.MULTILINE)
    assert re.search(r"^hybrid +done", told, re.MULTILINE)
    assert told.count("note: sft/manifest.json cannot be read: Permission denied") == 1
    assert "where sft stands cannot be told" in told


# --- Folders that are no run's ---


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "there is no folder"),
        (lambda folder: folder.write_text("a file"), "is no folder"),
        (lambda folder: folder.mkdir(), "it has no run.json; `hermes-train run RECIPE` makes one"),
        (lambda folder: RunFolder(folder / "demo").open("demo", Path("demo.yaml"), {"name": "demo"}), "in it are demo"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("{")), "run.json is damaged"),
    ],
)  # fmt: skip
def test_a_folder_of_no_run_is_told_in_one_line(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    make(tmp_path / "folder")

    with pytest.raises(UserError, match=re.escape(words)) as told:
        read_status(tmp_path / "folder")

    assert "\n" not in str(told.value)


def test_wrong_use_ends_with_code_two_and_one_line(tmp_path: Path) -> None:
    assert ask(tmp_path, code=2).count("\n") == 1


def test_a_run_that_was_only_opened_has_all_its_stages_before_it(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    RunFolder(run).open(
        "demo", Path("recipes/demo.yaml"), {"name": "demo", "recipe_path": "recipes/demo.yaml"}
    )

    status = read_status(run)

    assert set(standings(status).values()) == {Standing.MISSING}
    assert status.advice.text == f"go on with prepare: hermes-train run recipes/demo.yaml --runs {tmp_path}"


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        (Launcher.THIS_HOST, "hermes-train run r.yaml -o 'sft.skip_documents=[1, 2]'"),
        (Launcher.SLURM, "hermes-train launch r.yaml -o 'sft.skip_documents=[1, 2]'"),
        (
            Launcher.HOSTS,
            "hermes-train launch --cluster torchrun r.yaml -o 'sft.skip_documents=[1, 2]' (on every host",
        ),
    ],
)
def test_the_command_that_goes_on_is_that_which_started_the_run(launcher: Launcher, expected: str) -> None:
    card = RunCard("demo", "r.yaml", "2026-11-22T09:14:03+00:00", "r.yaml", ("sft.skip_documents=[1, 2]",))

    assert go_on_command(Path("runs/demo"), card, launcher).startswith(expected)
