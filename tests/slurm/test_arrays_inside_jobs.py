"""A job of one process makes a stage with an array of its own: nothing of the job reaches the array but its end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
# What bash reads before a script; it notes what the array's jobs are given.
NOTES = """
case "${SLURM_JOB_NAME:-}" in hermes-filter-*)
    env > "$NOTED/$SLURM_ARRAY_TASK_ID.env"
    srun --ntasks=1 true > "$NOTED/$SLURM_ARRAY_TASK_ID.srun" 2>&1
esac
"""
OF_THE_OUTER_JOB = ("SLURM_MEM_PER_NODE", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SBATCH_")


class OuterJob:
    """Jobs that make the filter stage as `hermes-train launch` has it made."""

    def __init__(self, cluster: Any, folder: Path, smoke: Path) -> None:
        self.cluster, self.folder, self.smoke = cluster, folder, smoke
        (folder / "notes.sh").write_text(NOTES)
        (folder / "cluster.env").write_text(f"HERMES_CPU_PARTITION={cluster.partition}\nHERMES_CPU_TIME=7\n")

    def submit(self, *options: str) -> str:
        """Start a job that makes the stage; return its number."""
        exported = {
            "HERMES_CHECKOUT": ROOT,
            "HERMES_CLUSTER_ENV": self.folder / "cluster.env",
            "BASH_ENV": self.folder / "notes.sh",
            "NOTED": self.folder,
            "SBATCH_TIMELIMIT": "3",
            "SBATCH_MEM_PER_NODE": "99G",
            "SBATCH_ARRAY_INX": "7",
        }
        told = self.cluster.command(
            *("sbatch", "--parsable", "--array=5", "--ntasks-per-node=1", "--mem=900M", "--time=10"),
            f"--export=ALL,{','.join(f'{name}={value}' for name, value in exported.items())}",
            f"--output={self.folder}/outer.log",
            *(str(ROOT / "launch/slurm/stage.sbatch"), "filter", str(self.smoke), "--runs", str(self.folder)),
            *("-o", "data.engine.executor=slurm", "-o", "data.engine.workers=2"),
            *("-o", "data.engine.slurm.memory_gigabytes_per_worker=1", *options),
        )
        return told.strip()

    def arrays(self) -> list[str]:
        """Numbers of the arrays in the queue."""
        told = self.cluster.command("squeue", "--noheader", "--format=%F %j")
        return sorted({line.split()[0] for line in told.splitlines() if "hermes-filter" in line})

    def await_end(self, job: str) -> str:
        """Wait until a job is over; return what Slurm says of it."""
        self.await_that(lambda: not self.cluster.command("squeue", "--noheader", f"--jobs={job}"))
        return self.cluster.command("scontrol", "show", "job", job)

    def await_that(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < deadline, (self.folder / "outer.log").read_text()
            time.sleep(0.1)


@pytest.fixture
def outer(slurm_cluster: Any, tmp_path: Path, smoke: Path) -> Iterator[OuterJob]:
    yield OuterJob(slurm_cluster, tmp_path, smoke)
    slurm_cluster.command("scancel", "--quiet", "--user=root")


def test_an_array_takes_nothing_of_the_job_that_submits_it(outer: OuterJob, packed_runs: Path) -> None:
    ended = outer.await_end(outer.submit())

    assert "JobState=COMPLETED" in ended, (outer.folder / "outer.log").read_text()
    for file in ("kept.jsonl", "problems.jsonl"):
        one, other = (runs / "smoke" / "filter" / file for runs in (outer.folder, packed_runs))
        assert one.read_bytes() == other.read_bytes()
    for member in ("0", "1"):
        given = (outer.folder / f"{member}.env").read_text().splitlines()
        assert "SLURM_ARRAY_TASK_COUNT=2" in given
        assert f"SLURM_JOB_PARTITION={outer.cluster.partition}" in given
        assert [line for line in given if line.startswith(OF_THE_OUTER_JOB)] == []
        # Beside a size of the outer job srun refuses the array's own.
        assert (outer.folder / f"{member}.srun").read_text() == ""
    (array,) = {line.partition("=")[2] for line in given if line.startswith("SLURM_ARRAY_JOB_ID=")}
    assert "TimeLimit=00:07:00" in outer.cluster.command("scontrol", "show", "job", array)


def test_an_array_stays_when_its_job_is_requeued_and_ends_when_it_is_cancelled(outer: OuterJob) -> None:
    job = outer.submit("-o", "data.engine.slurm.sbatch={begin: now+1hour}")
    outer.await_that(outer.arrays)
    (array,) = outer.arrays()

    # As before a time limit: the script tells the stage and puts its job back into the queue.
    outer.cluster.command("scancel", "--batch", "--signal=USR1", job)
    outer.await_that(lambda: "Restarts=1" in outer.cluster.command("scontrol", "show", "job", job))
    (log,) = outer.folder.glob("smoke/filter/logs/*/engine.log")
    outer.await_that(lambda: "of an earlier run" in log.read_text())
    assert outer.arrays() == [array]

    outer.cluster.command("scancel", job)
    assert "JobState=CANCELLED" in outer.await_end(job)
    assert outer.arrays() == []
