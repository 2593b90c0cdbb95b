"""The tasks as one array of Slurm jobs, and a wait until it is over.

The jobs go on when the waiting process is killed; the same call then waits for them again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.utils.stats import PipelineStats

from data_filters.errors import RunFailedError, UserError
from data_filters.executors.statistics import merge_statistics
from data_filters.files import write_atomically
from data_filters.settings import SlurmSettings

_POLL_SECONDS = 2.0
_JOB_FILE = "slurm_job.txt"
_UNKNOWN_JOB = "Invalid job id"


class WaitingSlurmExecutor(SlurmPipelineExecutor):
    """Submit the shards that are not finished, as many jobs as there are workers, and wait for them."""

    pipeline: list[Any]

    def __init__(
        self, pipeline: list[Any], tasks: int, workers: int, logs: Path, settings: SlurmSettings
    ) -> None:
        scripts = sysconfig.get_path("scripts")
        super().__init__(
            pipeline,
            tasks=tasks,
            time=settings.time,
            partition=settings.partition,
            cpus_per_task=settings.cpus,
            mem_per_cpu_gb=-(-settings.memory_gigabytes_per_worker // settings.cpus),
            job_name="hermes-filter",
            qos=settings.qos,
            # The jobs run the interpreter that submits them.
            env_command=f'export PATH={shlex.quote(scripts)}:"$PATH"',
            sbatch_args={name: str(value) for name, value in settings.sbatch.items()},
            logging_dir=str(logs.resolve()),
            requeue_signals=None,
            requeue=False,
            with_srun=False,
        )
        self._workers = workers
        self._logs = logs.resolve()

    def submit_and_wait(self) -> PipelineStats:
        """Run the shards that are not marked as finished and return all shards' counts.

        Waits for the jobs of an earlier call first, where they are still there. Raises RunFailedError when
        shards are missing in the end, and UserError where there is no Slurm or this is one of its jobs.
        """
        _require_login_node()
        earlier = self._logs / _JOB_FILE
        if earlier.is_file():
            _wait_for(earlier.read_text().strip())
        missing = self.get_incomplete_ranks()
        if missing:
            self.tasks_per_job = -(-len(missing) // self._workers)
            self._submit()
            with write_atomically(earlier) as file:
                file.write(str(self.job_id))
            _wait_for(str(self.job_id))
        self._require_all()
        return merge_statistics(self)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        blocks = self.pipeline
        # A job runs several shards; each counts for itself.
        self.pipeline = deepcopy(blocks)
        try:
            return super()._run_for_rank(rank, local_rank, node_rank)
        finally:
            self.pipeline = blocks

    def launch_merge_stats(self) -> None:
        """Do nothing: the waiting process merges the statistics itself, without a job of its own."""

    def _submit(self) -> None:
        try:
            self.launch_job()
        except subprocess.CalledProcessError as error:
            raise RunFailedError(
                f"sbatch refused the filter's jobs (code {error.returncode}); see its message above, and the "
                f"script at {self._logs / 'launch_script.slurm'}"
            ) from error

    def _require_all(self) -> None:
        missing = self.get_incomplete_ranks(skip_completed=True)
        if missing:
            raise RunFailedError(
                f"{len(missing)} of {self.tasks} shards failed in Slurm job {self.job_id}, the first is {missing[0]}; "
                f"see {self._logs / 'logs' / f'task_{missing[0]:05d}.log'} and {self.slurm_logs_folder}; "
                "the same command runs the missing shards again"
            )


def _require_login_node() -> None:
    if shutil.which("sbatch") is None:
        raise UserError(
            "engine.executor is slurm, but there is no sbatch on this machine; start the run on a login node "
            "of the cluster, or set engine.executor: local"
        )
    if "SLURM_JOB_ID" in os.environ:
        raise UserError(
            "engine.executor is slurm, but this is a Slurm job already; start the run on a login node, "
            "or set engine.executor: local inside the job"
        )


def _wait_for(job: str) -> None:
    while _is_in_queue(job):
        time.sleep(_POLL_SECONDS)


def _is_in_queue(job: str) -> bool:
    """Whether any job of the array waits or runs. Raises RunFailedError for one that can never start."""
    found = subprocess.run(
        ["squeue", f"--jobs={job}", "--noheader", "--format=%T %r"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        # A controller that does not answer for a while is no end of the job.
        return _UNKNOWN_JOB not in found.stderr
    never = re.search(
        r"^PENDING (DependencyNeverSatisfied|BadConstraints|PartitionTimeLimit|PartitionNodeLimit)",
        found.stdout,
        re.M,
    )
    if never:
        raise RunFailedError(
            f"Slurm job {job} can never start ({never[1]}); cancel it with `scancel {job}` and correct engine.slurm"
        )
    return bool(found.stdout.strip())
