"""Training jobs that are cut short on a real Slurm, and come back by themselves to the losses of an unbroken run."""

import getpass
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hermes_train.cluster.attempts.decision import Outcome
from hermes_train.cluster.attempts.record import Attempt, read_attempts
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.stage_log import StageLog
from hermes_train.training.watch.tries import Try, read_try

pytestmark = [pytest.mark.slurm, pytest.mark.distributed, pytest.mark.long]

ROOT = Path(__file__).parents[2]
STEPS = 40
OVERRIDES = ("-o", f"sft.steps={STEPS}", "-o", "sft.save_every=5", "-o", "tracking.wandb.mode=offline")
PATIENCE_SECONDS = 600
SIGNAL_SECONDS = 50


@dataclass
class TrainingJob:
    """A job that trains the stage sft of the smallest recipe, and what a test does to it."""

    cluster: Any
    runs: Path
    job: str = ""

    @property
    def stage(self) -> Path:
        return self.runs / "smoke" / "sft"

    @property
    def jobs(self) -> Path:
        return self.runs / "smoke" / "jobs" / "sft"

    def submit(self, nodes: int, *overrides: str) -> None:
        self.jobs.mkdir(parents=True)
        told = self.cluster.command(
            *("sbatch", "--parsable", f"--nodes={nodes}", "--time=20"),
            *(f"--signal=B:USR1@{SIGNAL_SECONDS}", f"--output={self.output}"),
            *(str(ROOT / "launch/slurm/train.sbatch"), "sft", str(ROOT / "recipes/smoke.yaml")),
            *("--runs", str(self.runs), *overrides),
        )
        self.job = told.strip()

    @property
    def output(self) -> Path:
        return self.jobs / "job.log"

    def state(self) -> str:
        told = self.cluster.command("scontrol", "--oneliner", "show", "job", self.job)
        return re.search(r"JobState=(\w+)", told)[1]

    def ended(self) -> str:
        """Wait for the job's end and return its state."""
        self.wait(lambda: self.state() in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"), 0.5)
        return self.state()

    def begun(self) -> Try:
        return read_try(self.jobs)

    def attempts(self) -> list[Attempt]:
        return read_attempts(self.jobs)

    def wait(self, condition: Callable[[], Any], seconds: float = 0.1) -> None:
        """Ask every so many seconds, until the condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (
                f"{self.state()}\n{self.output.read_text()[-6000:]}\n{self.attempts()}"
            )
            time.sleep(seconds)

    def wait_for_step(self, restart: int, more: int = 2) -> int:
        """Wait until a try has taken some steps of its own; returns its last."""
        self.wait(lambda: (found := read_try(self.jobs)) is not None and found.restart == restart)
        begun, metrics = self.begun(), self.stage / "metrics.jsonl"
        since = (self.jobs / "try.json").stat().st_mtime
        # Until the ranks go on, the file tells of the try before.
        self.wait(lambda: metrics.exists() and metrics.stat().st_mtime > since and self.ranks())
        self.wait(lambda: self.last_step() >= begun.from_step + more)
        return self.last_step()

    def last_step(self) -> int:
        steps = read_metrics(self.stage / "metrics.jsonl")
        return steps[-1]["step"] if steps else 0

    def ranks(self) -> dict[int, psutil.Process]:
        """The processes that train, by rank."""
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if (
                "hermes_train" in words
                and str(self.runs) in words
                and "sft" in words
                and "attempt" not in words
            ):
                try:
                    rank = process.environ().get("RANK")
                except psutil.Error:
                    continue
                if rank is not None:
                    found[int(rank)] = process
        return found

    def losses(self) -> list[float]:
        return [line["loss"] for line in read_metrics(self.stage / "metrics.jsonl")]


@pytest.fixture(scope="module")
def unbroken(packed_runs: Path, hermes_train: Any, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of two ranks that nobody disturbs."""
    runs = tmp_path_factory.mktemp("unbroken") / "runs"
    shutil.copytree(packed_runs, runs)
    done = hermes_train("sft", ROOT / "recipes/smoke.yaml", "--runs", runs, *OVERRIDES, ranks=2)
    assert done.returncode == 0, done.stderr
    return [line["loss"] for line in read_metrics(runs / "smoke" / "sft" / "metrics.jsonl")]


def training_job(cluster: Any, packed_runs: Path, folder: Path, **settings: str) -> TrainingJob:
    shutil.copytree(packed_runs, folder / "runs")
    settings = {
        "HERMES_SIGNAL_SECONDS": str(SIGNAL_SECONDS),
        "HERMES_CHECKOUT": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",
        "HF_HUB_OFFLINE": "1",
    } | settings
    cluster.environment.update(settings)
    return TrainingJob(cluster, folder / "runs")


@pytest.fixture(scope="module")
def site(running_slurm: Any) -> Iterator[Any]:
    """The cluster; no job is left behind, and its jobs' environment is as it was."""
    before = dict(running_slurm.environment)
    yield running_slurm
    running_slurm.command("scancel", f"--user={getpass.getuser()}", "--full")
    deadline = time.monotonic() + 60
    while running_slurm.command("squeue", "--noheader"):
        assert time.monotonic() < deadline, "a job does not end"
        time.sleep(0.5)
    running_slurm.environment.clear()
    running_slurm.environment.update(before)


@pytest.fixture(scope="module")
def often_broken(site: Any, packed_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A job on both nodes that runs into its time limit, is requeued, and has a node set down under it."""
    job = training_job(site, packed_runs, tmp_path_factory.mktemp("broken"))
    job.submit(2, *OVERRIDES)

    job.wait_for_step(restart=0)
    # Held, so that it does not end before Slurm looks at the time limits, which it does every 30 seconds.
    held = job.ranks()[1]
    held.suspend()
    minutes = int(_seconds_of_try(job) + 5) // 60 + 1
    site.command("scontrol", "update", f"JobId={job.job}", f"TimeLimit={minutes}")
    job.wait(lambda: job.begun().signal)
    held.resume()
    job.wait(lambda: job.attempts())
    site.command("scontrol", "update", f"JobId={job.job}", "TimeLimit=20")

    job.wait_for_step(restart=1)
    site.command("scontrol", "requeue", job.job)

    job.wait_for_step(restart=2)
    site.command("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    job.wait(lambda: job.state() != "RUNNING" and not job.ranks())
    # As a node that was repaired: its old daemon would still kill the job's processes there, those of the next try too.
    # Slurm takes a node back by itself when its daemon comes up (ReturnToService).
    site.kill_node("n2")
    site.start_node("n2")

    job.ended()
    return job


def _seconds_of_try(job: TrainingJob) -> float:
    told = job.cluster.command("squeue", "--noheader", f"--jobs={job.job}", "--format=%M")
    *_, minutes, seconds = ["0", *told.strip().split(":")]
    return 60 * int(minutes) + int(seconds)


def test_a_job_near_its_time_limit_is_requeued_and_ends_with_the_losses_of_an_unbroken_run(
    often_broken, unbroken
):
    first = often_broken.attempts()[0]

    assert often_broken.ended() == "COMPLETED"
    assert often_broken.losses() == unbroken
    assert first.outcome is Outcome.STOPPED
    assert re.fullmatch(r"stopped by SIGUSR1 after step (\d+), which is saved", first.text)
    assert first.to_step == int(re.search(r"step (\d+)", first.text)[1])
    assert often_broken.attempts()[1].from_step == first.to_step


def test_a_requeued_job_saves_and_leaves_the_rest_to_slurm(often_broken):
    second, third = often_broken.attempts()[1:3]

    assert second.outcome is Outcome.TAKEN
    assert "stopped by SIGTERM after step" in second.text
    assert third.from_step == second.to_step > second.from_step


def test_a_job_whose_node_is_set_down_comes_back(often_broken):
    attempts = often_broken.attempts()

    assert [one.restart for one in attempts] == [0, 1, 2, 3]
    assert attempts[2].outcome in (Outcome.TAKEN, Outcome.KILLED)
    assert (attempts[3].outcome, attempts[3].to_step) == (Outcome.DONE, STEPS)
    assert all(one.nodes == ("n1", "n2") for one in attempts)


def test_three_requeues_go_on_with_one_wandb_run_whose_steps_only_grow(often_broken, wandb_records):
    parts = wandb_records(often_broken.stage)
    runs = {
        record.run.run_id for part in parts for record in part if record.WhichOneof("record_type") == "run"
    }
    steps = [
        [record.history.step.num for record in part if record.WhichOneof("record_type") == "history"]
        for part in parts
    ]

    assert runs == {(often_broken.stage / "wandb_id.txt").read_text()}
    assert len(parts) == 4
    # A part that Slurm cut off may lack steps, which the next one sends.
    assert all(part == sorted(set(part)) for part in steps)
    assert {step for part in steps for step in part} == set(range(1, STEPS + 1))
    assert steps[-1][-1] == STEPS


def test_a_node_that_lost_a_rank_is_left_out_and_what_a_lost_node_still_runs_ends_before_it_saves(
    site, packed_runs, tmp_path, unbroken
):
    job = training_job(site, packed_runs, tmp_path, HERMES_RANKS_PER_NODE="2")
    job.submit(1, *OVERRIDES)

    job.wait_for_step(restart=0)
    job.ranks()[1].send_signal(signal.SIGKILL)
    job.wait_for_step(restart=1)
    leftovers = job.ranks()
    # They stand still until Slurm has given the node up and started the job elsewhere.
    for process in leftovers.values():
        process.suspend()
    site.kill_node("n2")
    job.wait(lambda: job.state() == "PENDING")
    # An administrator lets the other node back.
    site.command("scontrol", "update", f"JobId={job.job}", "ExcNodeList=")
    job.wait(lambda: job.begun().restart == 2)
    for process in leftovers.values():
        process.resume()
    fenced = "Slurm has begun a newer try of sft; this one ends after step"
    job.wait(lambda: fenced in StageLog(job.stage).path.read_text())
    site.start_node("n2")

    first, second = job.attempts()[:2]
    assert (first.outcome, first.nodes, first.left_out) == (Outcome.RANK_LOST, ("n1",), ("n1",))
    assert second.nodes == ("n2",)
    assert job.ended() == "COMPLETED"
    assert job.losses() == unbroken


def test_a_stage_that_fails_by_its_own_fault_stops_after_one_try_and_says_where(site, packed_runs, tmp_path):
    job = training_job(site, packed_runs, tmp_path, HERMES_RANKS_PER_NODE="2")
    job.submit(1, *OVERRIDES, "-o", "sft.micro_batch=2")

    assert job.ended() == "FAILED"
    (only,) = job.attempts()
    assert only.outcome is Outcome.FAILED
    assert "error: sft stops: global_batch (2) must be a multiple" in job.output.read_text()
