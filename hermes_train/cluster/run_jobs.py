"""The jobs of one run in Slurm's queue: nothing else may make the run while they wait or run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster import slurm
from hermes_train.cluster.chain_record import read_chain
from hermes_train.runs import JOBS, STAGES


def mark_of(run_folder: Path) -> str:
    """Return the comment of the run's jobs, by which they are known in the queue."""
    return f"hermes-train {run_folder.resolve()}"


def queued_jobs_of(run_folder: Path) -> list[slurm.QueuedJob]:
    """Return the jobs of the run that wait or run: by their mark, and by the record where a site changes comments.

    Raises as `slurm.queued_jobs` does, and UserError for a record that is damaged.
    """
    chain = read_chain(run_folder)
    recorded = {job.job for job in chain.jobs} if chain else set()
    own = slurm.queued_jobs(user=str(os.getuid()))
    names = {f"{run_folder.name}-{stage}" for stage in STAGES}
    mark = mark_of(run_folder)
    mine = [job for job in own if job.comment == mark or (job.job in recorded and job.name in names)]
    return sorted(mine, key=lambda job: job.job)


def require_none_before_launch(run_folder: Path) -> None:
    """Raise UserError where jobs of the run wait or run, and RunFailedError where Slurm does not say."""
    try:
        queued = queued_jobs_of(run_folder)
    except slurm.SlurmUnreachableError as error:
        raise RunFailedError(
            f"Slurm does not say whether jobs of {run_folder} are in its queue ({error}); nothing was submitted, "
            "try again when it answers"
        ) from error
    if queued:
        told, ids = _told(queued)
        raise UserError(
            f"jobs of {run_folder} are in the queue already: {told}; nothing was submitted. Wait for them, or "
            f"take them out with `scancel {ids}` and launch again"
        )


def require_none_beside(run_folder: Path, tell: Callable[[str], None]) -> None:
    """Raise UserError where jobs of the run wait or run: one that starts while this process is at work would find the
    run locked and fail, and all that wait for it with it.

    Slurm is asked only of a run that was launched on it. Such a run may be finished elsewhere: where Slurm cannot be
    asked, `tell` gets a line instead.
    """
    if not any((run_folder / JOBS / stage).is_dir() for stage in STAGES):
        return
    try:
        queued = queued_jobs_of(run_folder)
    except slurm.SlurmError as error:
        tell(f"whether jobs of {run_folder} are in Slurm's queue is not known ({error})")
        return
    if queued:
        told, ids = _told(queued)
        raise UserError(
            f"jobs of {run_folder} are in the queue: {told}; nothing was started. `hermes-train status {run_folder}` "
            f"shows how they get on; to make the run here, take them out with `scancel {ids}`"
        )


def _told(queued: list[slurm.QueuedJob]) -> tuple[str, str]:
    told = ", ".join(f"{job.job} ({job.name}, {job.state.lower()})" for job in queued)
    return told, " ".join(str(job.job) for job in queued)
