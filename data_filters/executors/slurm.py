"""The tasks as one array of Slurm jobs, and a wait until it is over: from a login node, or from inside a job.

The array outlives the process that waits: killed, stopped by Ctrl-C or by SIGUSR1, the same call finds the array again
and waits on. SIGTERM, which is what `scancel` sends, cancels the array too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sysconfig
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dill
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.utils.logging import logger
from datatrove.utils.stats import PipelineStats

from data_filters.errors import RunFailedError
from data_filters.executors import slurm_queue
from data_filters.executors.slurm_queue import ARRAY_FILE
from data_filters.executors.slurm_site import site_options, submission_environment, with_site_defaults
from data_filters.files import write_atomically
from data_filters.settings import SlurmSettings

_ERROR = re.compile(r"^[\w.]*(Error|Exception|Interrupt)\b.*")
"""The last line of a traceback: `FileNotFoundError: [Errno 2] No such file or directory: 'rows.jsonl'`."""


@dataclass(frozen=True)
class ArrayWork:
    """Tasks for an array: what each runs, and where it leaves its traces."""

    stage: str
    blocks: list[Any]
    """Steps of datatrove; they are pickled, and each task runs all of them."""
    tasks: int
    workers: int
    """Jobs of the array, each of which runs one task after the other."""
    logs: Path
    """A folder for these very tasks: marks of finished ones there are believed."""
    results: Path
    """The folder that the tasks write to."""


class ArrayExecutor(SlurmPipelineExecutor):
    """Submits the tasks that are not finished, as many jobs as there are workers, and waits for them."""

    pipeline: list[Any]

    def __init__(self, work: ArrayWork, settings: SlurmSettings) -> None:
        chosen = with_site_defaults(settings, os.environ)
        logs = work.logs.resolve()
        super().__init__(
            work.blocks,
            tasks=work.tasks,
            time=chosen.time,
            partition=chosen.partition,
            cpus_per_task=chosen.cpus,
            mem_per_cpu_gb=-(-chosen.memory_gigabytes_per_worker // chosen.cpus),
            job_name=_array_name(work.stage, logs),
            qos=chosen.qos,
            env_command=_environment_of_a_job(chosen.cpus),
            sbatch_args={"account": chosen.account}
            | {name: str(value) for name, value in chosen.sbatch.items()},
            logging_dir=str(logs),
            requeue_signals=None,
            # After a node's failure or a preemption: finished tasks are skipped.
            requeue=True,
            with_srun=False,
        )
        self._site_options = site_options(os.environ)
        self._stage = work.stage
        self._workers = work.workers
        self._logs = logs
        self._results = work.results

    def run_missing(self) -> None:
        """Run the tasks that are not marked as finished.

        Waits for the array of an earlier call first, where it is still there. Raises RunFailedError when tasks are
        missing in the end or sbatch refuses the array, and UserError where there is no Slurm.
        """
        slurm_queue.require_slurm()
        if (self._logs / ARRAY_FILE).is_file():
            logger.info(f"waiting for the jobs {self.job_name} of an earlier run")
            slurm_queue.wait_for_earlier(self._logs)
        if self.get_incomplete_ranks():
            self._submit_and_wait()
        self._require_all()

    def _submit_and_wait(self) -> None:
        marked = self._logs / ARRAY_FILE
        # Before the array is there: the next call finds out about a kill in between.
        with write_atomically(marked) as file:
            file.write(self.job_name)
        with slurm_queue.noted_end() as asked_to_end:
            try:
                self.launch_job()
            except RunFailedError:
                # There is no array.
                marked.unlink()
                raise
            slurm_queue.wait_for_array(self.job_name, self.job_id, asked_to_end)
        marked.unlink()

    def launch_job(self) -> None:
        """Submit an array for the tasks that are not finished. Raises RunFailedError with sbatch's reason.

        datatrove's own leaves the options to the script, where SBATCH_* variables win over them, and the environment
        as it is, so that the array's jobs would take sizes from the job that submits them.
        """
        waiting = self.get_incomplete_ranks()
        self.tasks_per_job = -(-len(waiting) // self._workers)
        with self.logging_dir.open("ranks_to_run.json", "w") as file:
            json.dump(waiting, file)
        with self.logging_dir.open("executor.pik", "wb") as file:
            dill.dump(self, file)
        script = self._logs / "launch_script.slurm"
        command = f"launch_pickled_pipeline {shlex.quote(str(self._logs / 'executor.pik'))}"
        script.write_text(self.get_launch_file_contents({}, command))
        options = self._options(jobs=-(-len(waiting) // self.tasks_per_job))
        self.job_id = slurm_queue.submit(
            self._stage, [*options, str(script)], submission_environment(os.environ)
        )
        logger.info(f"waiting for Slurm job {self.job_id}, {self.job_name}, {len(waiting)} tasks")

    def _options(self, jobs: int) -> list[str]:
        """Return sbatch's options. The last of two wins, and any over an SBATCH_* variable."""
        options = {"export": "ALL", "open-mode": "append"} | self.get_sbatch_args(jobs)
        given = [
            f"--{name}={value}" if value != "" else f"--{name}"
            for name, value in options.items()
            if value is not None
        ]
        return ["--parsable", *self._site_options, *given]

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        blocks = self.pipeline
        # A job runs several shards; each counts for itself.
        self.pipeline = deepcopy(blocks)
        try:
            return super()._run_for_rank(rank, local_rank, node_rank)
        finally:
            self.pipeline = blocks

    def _require_all(self) -> None:
        for folder in (self._logs / "completions", self._results):
            _forget_what_was_seen(folder)
        missing = self.get_incomplete_ranks(skip_completed=True)
        if missing:
            log = self._logs / "logs" / f"task_{missing[0]:05d}.log"
            raise RunFailedError(
                f"{len(missing)} of {self.tasks} shards failed in Slurm job {self.job_id}, the first is {missing[0]}"
                f"{_last_words(log)}; see {log} and {self.slurm_logs_folder}; the same command runs the missing "
                "shards again"
            )


def _array_name(stage: str, logs: Path) -> str:
    """Return a name that no other folder's array has, so that an array is found again by its name alone."""
    return f"hermes-{stage}-{hashlib.blake2b(str(logs).encode(), digest_size=6).hexdigest()}"


def _environment_of_a_job(cpus: int) -> str:
    """Return lines of bash: the interpreter that submits, and no more threads than the job has cores."""
    scripts = sysconfig.get_path("scripts")
    return (
        f'export PATH={shlex.quote(scripts)}:"$PATH"\nexport OMP_NUM_THREADS={cpus} RAYON_NUM_THREADS={cpus}'
    )


def _forget_what_was_seen(folder: Path) -> None:
    """Let a network file system list `folder` as it is now: NFS may serve what it saw of it for a minute more."""
    # A change of our own makes the client ask the server again.
    probe = folder / ".seen"
    if folder.is_dir():
        probe.touch()
        probe.unlink()


def _last_words(log: Path) -> str:
    """Return the error that a task's log ends with, to be put behind the task's number; empty where there is none."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return f" ({lines[-1]})" if lines and _ERROR.match(lines[-1]) else ""
