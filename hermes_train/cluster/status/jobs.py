"""The jobs of the chain that `launch` submitted, and what Slurm says of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hermes_train.cluster import slurm
from hermes_train.cluster.chain_record import FILE, Chain, SubmittedJob
from hermes_train.cluster.status.files import RunFiles
from hermes_train.cluster.status.reasons import why_it_ended, why_it_waits
from hermes_train.cluster.status.records import JobPlace, JobsStatus, JobStatus, Queue, Remedy
from hermes_train.report.records import TRAINING_STAGES
from hermes_train.runs import JOBS
from hermes_train.training.watch.tries import FILE as TRY_FILE
from hermes_train.training.watch.tries import Try

_WAITING_STATES = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_RUNNING_STATES = (
    "RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED",
)  # fmt: skip
_NEVER = "DependencyNeverSatisfied"


def read_jobs(files: RunFiles) -> JobsStatus:
    """Return the jobs of the run with what Slurm says of them now."""
    chain = files.record(str(FILE), Chain)
    submitted = (*(chain.jobs if chain else ()), *_by_hand(files, chain))
    when = datetime.fromisoformat(chain.submitted) if chain else None
    if not submitted:
        return JobsStatus(Queue.NO_JOBS, Queue.NO_JOBS, when, ())
    unknown = tuple(_job(files.run, job) for job in submitted)
    if shutil.which("squeue") is None:
        text = f"{Queue.NO_SLURM}: ask on a login node how they stand"
        return JobsStatus(Queue.NO_SLURM, text, when, unknown)
    try:
        jobs = tuple(_asked(files, submitted, when))
    except slurm.SlurmError as error:
        return JobsStatus(Queue.NO_ANSWER, f"{Queue.NO_ANSWER}: {error}", when, unknown)
    return JobsStatus(Queue.ASKED, "", when, jobs)


def _by_hand(files: RunFiles, chain: Chain | None) -> list[SubmittedJob]:
    """Return the jobs that a user has submitted with launch/slurm/train.sbatch, for stages that are not done."""
    launched = {job.stage for job in chain.jobs} if chain else set()
    stages = [stage for stage in TRAINING_STAGES if stage not in launched]
    tries = {
        stage: files.record(f"{JOBS}/{stage}/{TRY_FILE}", Try)
        for stage in stages
        if files.changed(f"{stage}/manifest.json") is None
    }
    return [SubmittedJob(stage, begun.job, (), ()) for stage, begun in tries.items() if begun is not None]


def _asked(files: RunFiles, submitted: Sequence[SubmittedJob], when: datetime | None) -> Iterator[JobStatus]:
    queued = {found.job: found for found in slurm.queued_jobs(job.job for job in submitted)}
    stages = {job.job: job.stage for job in submitted}
    for job in submitted:
        known = _job(files.run, job)
        if job.job in queued:
            yield in_queue(known, queued[job.job], waited_for(job, stages, queued))
            continue
        record = slurm.job_record(job.job)
        if record is None and made_since(files.changed(f"{job.stage}/manifest.json"), when):
            # Slurm forgets a job after some minutes.
            yield replace(known, place=JobPlace.ENDED_WELL, because="its stage is done")
        else:
            yield out_of_queue(known, record)


def made_since(manifest: datetime | None, launch: datetime | None) -> bool:
    """Say whether a stage was finished after the launch: an older manifest may be that of another recipe."""
    return manifest is not None and launch is not None and manifest > launch


def _job(run: Path, submitted: SubmittedJob) -> JobStatus:
    """Return a job of which nothing is known."""
    return JobStatus(
        stage=submitted.stage,
        job=submitted.job,
        place=JobPlace.NOT_KNOWN,
        state="",
        reason="",
        because="",
        remedy=None,
        nodes="",
        number_of_nodes=None,
        elapsed="",
        time_limit="",
        expected_start=None,
        # Where a user has sent the output of a job by hand is not known.
        log=str(run / JOBS / submitted.stage / f"{submitted.job}.log") if submitted.command else "",
    )


def waited_for(
    job: SubmittedJob, stages: Mapping[int, str], queued: Mapping[int, slurm.QueuedJob]
) -> tuple[str, ...]:
    """Return the stages that a job of the chain still waits for, each with its job: `sft (job 1234)`."""
    return tuple(
        f"{stages[before]} (job {before})" for before in job.after if before in stages and before in queued
    )


def in_queue(job: JobStatus, queued: slurm.QueuedJob, before: Sequence[str]) -> JobStatus:
    """Return what squeue tells of a job; `before`: the jobs that it waits for."""
    waits = queued.state in _WAITING_STATES
    known = replace(
        job,
        place=JobPlace.WAITS
        if waits
        else JobPlace.RUNS
        if queued.state in _RUNNING_STATES
        else JobPlace.FAILED,
        state=queued.state,
        nodes=queued.node_list,
        number_of_nodes=queued.nodes,
        elapsed="" if waits else queued.elapsed,
        time_limit=queued.time_limit,
    )
    if not waits:
        return known
    why = why_it_waits(queued.reason)
    because = f"it waits for {', '.join(before)}" if queued.reason == "Dependency" and before else why.text
    return replace(
        known,
        place=JobPlace.NEVER_STARTS if queued.reason == _NEVER else JobPlace.WAITS,
        reason=queued.reason,
        because=because,
        remedy=why.remedy,
        expected_start=queued.start,
    )


def out_of_queue(job: JobStatus, record: Mapping[str, str] | None) -> JobStatus:
    """Return what scontrol tells of a job that has ended; `record` is None where Slurm has forgotten it."""
    if record is None:
        return replace(job, place=JobPlace.LEFT, because="Slurm has forgotten how it ended")
    state, reason = record.get("JobState", ""), record.get("Reason", "None")
    return replace(
        job,
        place=JobPlace.ENDED_WELL if state == "COMPLETED" else JobPlace.FAILED,
        state=state,
        reason="" if reason == "None" else reason,
        because=why_it_ended(state, reason),
        nodes="" if record.get("NodeList") in (None, "(null)") else record["NodeList"],
        elapsed=record.get("RunTime", ""),
        time_limit=record.get("TimeLimit", ""),
    )


def waits_for_somebody(job: JobStatus) -> bool:
    """Say whether a job that waits will wait until somebody does something."""
    return job.place is JobPlace.NEVER_STARTS or job.remedy in (Remedy.USER, Remedy.SITE)
