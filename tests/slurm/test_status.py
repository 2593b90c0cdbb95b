"""The jobs of a run, as a real Slurm tells of them: one runs, others wait for nodes, for a job, held or in vain; one
has failed, one was cancelled, one is forgotten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hermes_train.cluster.chain_record import Chain, SubmittedJob, write_chain
from hermes_train.cluster.status import read_status
from hermes_train.cluster.status.advice import Commands, advise
from hermes_train.cluster.status.records import JobPlace, JobStatus, Next, Queue, RunStatus, Standing
from hermes_train.runs import RunFolder
from hermes_train.training.watch.tries import Try

pytestmark = [pytest.mark.slurm, pytest.mark.long]

FORGOTTEN = 999_999


@pytest.fixture(scope="module")
def cluster(running_slurm: Any) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, running_slurm.environment[name])
        yield running_slurm


@pytest.fixture(scope="module")
def run(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run with a job for each stage, each in another state. Nothing of the stages is made."""
    run = tmp_path_factory.mktemp("jobs") / "runs" / "demo"
    RunFolder(run).open(
        "demo", Path("recipes/demo.yaml"), {"name": "demo", "recipe_path": "recipes/demo.yaml"}
    )

    def submit(command: str, *options: str) -> int:
        return int(
            cluster.command("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={command}")
        )

    failing = submit("exit 3", "--nodes=1")
    cancelled = submit("sleep 60", "--nodes=1", "--hold")
    cluster.command("scancel", str(cancelled))
    _await_state(cluster, failing, "FAILED")
    running = submit("sleep 600", "--nodes=2", "--exclusive")
    _await_state(cluster, running, "RUNNING")
    jobs = [
        SubmittedJob("prepare", FORGOTTEN, (), ("sbatch",)),
        SubmittedJob("filter", cancelled, (), ("sbatch",)),
        SubmittedJob("pack", failing, (), ("sbatch",)),
        SubmittedJob("sft", running, (), ("sbatch",)),
        SubmittedJob("hybrid", submit("true", "--nodes=2", "--exclusive"), (), ("sbatch",)),
        SubmittedJob("dpo", submit("true", f"--dependency=afterok:{running}"), (running,), ("sbatch",)),
        SubmittedJob("evaluate", submit("true", "--hold"), (), ("sbatch",)),
        SubmittedJob("export", submit("true", f"--dependency=afterok:{failing}"), (failing,), ("sbatch",)),
    ]
    write_chain(run, Chain("2026-11-22T09:14:03+00:00", "ada", "slurm", tuple(jobs)))
    # The scheduler looks at jobs that wait every so often.
    _await_reason(cluster, jobs[4].job, "Resources")
    _await_reason(cluster, jobs[7].job, "DependencyNeverSatisfied")
    yield run
    cluster.command("scancel", *(str(job.job) for job in jobs[3:]))


def _await_state(cluster: Any, job: int, state: str) -> None:
    _await(lambda: f"JobState={state} " in cluster.command("scontrol", "-o", "show", "job", str(job)))


def _await_reason(cluster: Any, job: int, reason: str) -> None:
    _await(lambda: reason in cluster.command("squeue", "--noheader", f"--jobs={job}", "--format=%r"))


def _await(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def status(run: Path) -> RunStatus:
    return read_status(run)


def jobs_by_stage(status: RunStatus) -> dict[str, JobStatus]:
    return {job.stage: job for job in status.jobs.jobs}


def test_each_job_is_told_with_why_it_waits_or_how_it_ended(status: RunStatus) -> None:
    jobs = jobs_by_stage(status)

    told = {stage: (job.place, job.because) for stage, job in jobs.items()}
    assert status.jobs.queue is Queue.ASKED
    assert told == {
        "prepare": (JobPlace.LEFT, "Slurm has forgotten how it ended"),
        "filter": (JobPlace.FAILED, "it was cancelled"),
        "pack": (JobPlace.FAILED, "it ended with an error"),
        "sft": (JobPlace.RUNS, ""),
        "hybrid": (JobPlace.WAITS, "it is next, and waits for enough nodes to be free"),
        "dpo": (JobPlace.WAITS, f"it waits for sft (job {jobs['sft'].job})"),
        "evaluate": (JobPlace.WAITS, "it is held"),
        "export": (JobPlace.NEVER_STARTS, "the job that it waits for failed or was cancelled"),
    }


def test_a_job_has_its_nodes_and_the_guess_of_its_start(status: RunStatus) -> None:
    jobs = jobs_by_stage(status)

    assert jobs["sft"].nodes == "n[1-2]"
    assert jobs["sft"].elapsed
    assert jobs["hybrid"].number_of_nodes == 2
    assert jobs["dpo"].expected_start is None


def test_the_stage_whose_job_runs_is_at_work_before_it_has_written_anything(status: RunStatus) -> None:
    standings = {stage.stage: stage.standing for stage in status.stages}

    assert standings["sft"] is Standing.AT_WORK
    assert standings["pack"] is Standing.MISSING
    assert status.training is not None
    assert status.training.step is None
    assert status.advice.next is Next.WAIT


def test_jobs_that_never_start_are_to_be_cancelled_once_nobody_is_at_work(status: RunStatus) -> None:
    left = replace(status.jobs, jobs=tuple(job for job in status.jobs.jobs if job.stage != "sft"))
    stages = [replace(stage, standing=Standing.MISSING) for stage in status.stages]

    advice = advise(status.run, stages, None, left, {}, Commands("LAUNCH", "STATUS"))

    assert advice.next is Next.MEND
    assert f"scancel {jobs_by_stage(status)['export'].job}, and then LAUNCH" in advice.text


def test_the_screen_names_each_job_and_what_goes_on(run: Path, status: RunStatus) -> None:
    told = _told(run)

    for job in status.jobs.jobs:
        assert str(job.job) in told
    assert "DependencyNeverSatisfied" in told
    assert f"hermes-train status {run}" in told


def test_a_training_job_that_was_submitted_by_hand_is_asked_for_too(
    run: Path, status: RunStatus, tmp_path: Path
) -> None:
    by_hand, job = tmp_path / "runs" / "demo", jobs_by_stage(status)["sft"].job
    shutil.copytree(run, by_hand)
    (by_hand / "jobs" / "chain.json").unlink()
    (by_hand / "jobs" / "sft").mkdir()
    begun = Try(job=job, restart=0, nodes=("n1", "n2"), started="2026-11-22T09:14:03+00:00", from_step=0)
    (by_hand / "jobs" / "sft" / "try.json").write_bytes(msgspec.json.encode(begun))

    found = read_status(by_hand)

    assert [(known.stage, known.job, known.place) for known in found.jobs.jobs] == [
        ("sft", job, JobPlace.RUNS)
    ]
    assert "sft is at work" in found.advice.text


def test_without_slurm_the_jobs_are_listed_and_the_rest_is_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_status(run).jobs.queue is Queue.NO_SLURM
    told = _told(run)
    assert "there is no Slurm on this machine" in told
    assert str(FORGOTTEN) in told


def test_a_slurm_that_does_not_answer_is_told_with_its_words(
    run: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Path(cluster.environment["SLURM_CONF"]).read_text()
    elsewhere = tmp_path / "slurm.conf"
    elsewhere.write_text(
        "".join(
            "SlurmctldPort=9\nMessageTimeout=2\n" if line.startswith("SlurmctldPort=") else line
            for line in settings.splitlines(keepends=True)
        )
    )
    monkeypatch.setenv("SLURM_CONF", str(elsewhere))

    status = read_status(run)

    assert status.jobs.queue is Queue.NO_ANSWER
    assert "Unable to contact slurm controller" in status.jobs.text
    assert status.advice.next is Next.LOOK


def _told(run: Path) -> str:
    command = [sys.executable, "-m", "hermes_train", "status", str(run)]
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=environment
    )
    return done.stdout
