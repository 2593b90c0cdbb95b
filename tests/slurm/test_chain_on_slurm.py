"""A run as a chain of jobs on a real Slurm of two nodes, from nothing to the exported model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from launches import (  # found by the line above
    END_SECONDS,
    RECIPES,
    launched,
    submitted,
    wait_until_empty,
)

from hermes_train.cluster import slurm
from hermes_train.cluster.launching import LaunchRequest
from hermes_train.runs import STAGES, TRAINING

pytestmark = [pytest.mark.slurm, pytest.mark.long, pytest.mark.distributed]

SITE = "HERMES_CPUS=1\nHERMES_TIME=20\nHERMES_CPU_TIME=20\nHERMES_SIGNAL_SECONDS=60\n"
ARRAY = (
    "data.engine.executor=slurm",
    "data.engine.workers=2",
    "data.engine.slurm.memory_gigabytes_per_worker=1",
)
SHORT = ("sft.steps=6", "hybrid.steps=3", "dpo.steps=2")
FAULT = "data.engine.slurm.sbatch={partition: elsewhere}"


@dataclass(frozen=True)
class TwoLaunches:
    """A run whose filter fails for its settings, and the same run launched again without the fault.

    In the second launch the filter's job is told that its time limit is near.
    """

    run: Path
    failed: list[dict[str, Any]]
    """The jobs of the first launch."""
    ends: list[dict[str, str]]
    """How Slurm says that each of them ended."""
    pack_after_the_failure: bool
    done: list[dict[str, Any]]
    filtered: dict[str, str]
    """How Slurm says that the filter's job of the second launch ended."""
    third_launch: str


def tell_of_the_time_limit(job: int) -> dict[str, str]:
    """Give the filter's job, once its array is submitted, the signal that comes before its time limit.

    Returns what Slurm says of the job when it has ended for good.
    """
    deadline = time.monotonic() + END_SECONDS
    while not any(queued.name.startswith("hermes-filter") for queued in slurm.queued_jobs()):
        assert time.monotonic() < deadline, "the filter submits no array"
        time.sleep(0.1)
    subprocess.run(["scancel", "--batch", "--signal=USR1", str(job)], check=True)
    # Slurm forgets how a job ended after some minutes.
    while slurm.queued_jobs([job]):
        assert time.monotonic() < deadline, slurm.job_record(job)
        time.sleep(0.5)
    return slurm.job_record(job) or {}


@pytest.fixture(scope="module")
def two_launches(running_slurm: Any, tmp_path_factory: pytest.TempPathFactory) -> TwoLaunches:
    """The smoke recipe on both nodes, from nothing to export; the filter's rows are verified by an array of jobs."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "cluster.env").write_text(SITE)
    recipe, run = RECIPES / "smoke.yaml", folder / "smoke"
    with pytest.MonkeyPatch.context() as environment:
        for name in ("PATH", "SLURM_CONF"):
            environment.setenv(name, running_slurm.environment[name])
        environment.setenv("HERMES_CLUSTER_ENV", str(folder / "cluster.env"))
        try:
            launched(LaunchRequest(recipe, (*ARRAY, *SHORT, FAULT), folder, until="pack", nodes=2))
            wait_until_empty()
            failed = submitted(run)
            ends = [slurm.job_record(job["job"]) or {} for job in failed]
            began = (run / "pack").exists()

            right = LaunchRequest(recipe, (*ARRAY, *SHORT), folder, nodes=2)
            launched(right)
            done = submitted(run)
            filtered = tell_of_the_time_limit(done[0]["job"])
            wait_until_empty()
            return TwoLaunches(run, failed, ends, began, done, filtered, launched(right))
        finally:
            slurm.cancel(job.job for job in slurm.queued_jobs())


def test_a_stage_that_fails_ends_the_chain_and_says_where(two_launches: TwoLaunches) -> None:
    assert [job["stage"] for job in two_launches.failed] == ["prepare", "filter", "pack"]
    assert [end["JobState"] for end in two_launches.ends] == ["COMPLETED", "FAILED", "CANCELLED"]
    assert two_launches.ends[1]["ExitCode"] == "1:0"
    assert not two_launches.pack_after_the_failure
    output = two_launches.run / "jobs" / "filter" / f"{two_launches.failed[1]['job']}.log"
    assert "error: sbatch refused the jobs of filter: " in output.read_text()
    assert "invalid partition specified: elsewhere" in output.read_text()


def test_a_stage_of_one_process_that_nears_its_time_limit_goes_back_into_the_queue(
    two_launches: TwoLaunches,
) -> None:
    filtered = two_launches.filtered
    output = two_launches.run / "jobs" / "filter" / f"{filtered['JobId']}.log"

    assert (filtered["JobState"], filtered["Restarts"]) == ("COMPLETED", "1")
    assert "stopped by SIGUSR1" in output.read_text()
    assert f"job {filtered['JobId']} goes back into the queue" in output.read_text()


def test_the_next_launch_goes_on_to_the_exported_model_over_both_nodes(two_launches: TwoLaunches) -> None:
    run = two_launches.run

    assert [job["stage"] for job in two_launches.done] == list(STAGES[1:])
    outputs = "".join(path.read_text() for path in sorted(run.glob("jobs/*/*.log")))
    assert all((run / stage / "manifest.json").is_file() for stage in STAGES), outputs
    assert list(run.glob("filter/logs/*/slurm_logs/*_1.out")), "the filter was no array"
    for stage in TRAINING:
        assert f"start: {stage} on 2 ranks" in (run / stage / "log.txt").read_text()
        (attempt,) = (run / "jobs" / stage / "attempts.jsonl").read_text().splitlines()
        assert json.loads(attempt)["nodes"] == ["n1", "n2"]
    assert (run / "export" / "model" / "config.json").is_file()
    assert "every stage up to export is done; there is nothing to launch" in two_launches.third_launch
