"""How the stages of a run stand, by the files in its folder and by who is known to be at work."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hermes_train.cluster.status.files import RunFiles, newest_change
from hermes_train.cluster.status.records import JobPlace, JobStatus, StageStatus, Standing, Worker
from hermes_train.report.records import MODELS
from hermes_train.runs import STAGES, Holder, RunFolder

PATIENCE = timedelta(minutes=10)
"""While its files have changed within so long, a stage counts as at work if a process of another host holds the run."""

_SAME_START = timedelta(seconds=2)
"""Room for the rounding of the times of which one process is known again."""


@dataclass(frozen=True)
class Manifest:
    """What is read of `<stage>/manifest.json`."""

    finished: datetime
    seconds: float
    figures: dict[str, Any]


@dataclass(frozen=True)
class Started:
    """What is read of `<stage>/started.json`."""

    stage: str


def stage_standing(
    is_done: bool | None, is_begun: bool, worker: Worker, has_last_word: bool, quiet: timedelta | None
) -> Standing:
    """Return where a stage stands.

    `is_done`: None where its files cannot be read. `has_last_word`: its log tells why its last process ended. `quiet`:
    how long its files have not changed.
    """
    if is_done:
        return Standing.DONE
    if worker in (Worker.JOB, Worker.PROCESS):
        return Standing.AT_WORK
    if is_done is None:
        return Standing.UNKNOWN
    if not is_begun:
        return Standing.MISSING
    if worker is Worker.NOBODY or has_last_word:
        return Standing.INTERRUPTED
    return Standing.UNKNOWN if quiet is None or quiet > PATIENCE else Standing.AT_WORK


def read_stages(files: RunFiles, jobs: tuple[JobStatus, ...], now: datetime) -> tuple[StageStatus, ...]:
    """Return the stages of a run in order."""
    begun_last = _begun_last(files)
    holder = _holder(files)

    def status(stage: str) -> StageStatus:
        manifest = files.record(f"{stage}/manifest.json", Manifest)
        is_begun = files.record(f"{stage}/started.json", Started) is not None
        # One stage at a time is worked on.
        other = worker_of(holder) if stage == begun_last else Worker.NOBODY
        worker = worker_by_jobs(stage, jobs, other)
        standing = stage_standing(
            None if files.has_fault(stage) else manifest is not None,
            is_begun,
            worker,
            _has_last_word(files, stage),
            _quiet(files.run / stage, now),
        )
        return StageStatus(
            stage=stage,
            standing=standing,
            seconds=manifest.seconds if manifest else None,
            finished=manifest.finished if manifest else None,
            detail=_detail(files, stage, standing, holder),
        )

    return tuple(status(stage) for stage in STAGES)


def _holder(files: RunFiles) -> Holder | None:
    try:
        return RunFolder(files.run).holder()
    except OSError as error:
        files.faults.append(f"who holds the run cannot be read: {error.strerror}")
        return None


def worker_of(holder: Holder | None) -> Worker:
    """Say whether the process that holds the run is at work, where it is one of this host."""
    if holder is None:
        return Worker.NOBODY
    if holder.host != socket.gethostname():
        return Worker.UNKNOWN
    import psutil

    if not psutil.pid_exists(holder.process):
        return Worker.NOBODY
    try:
        process = psutil.Process(holder.process)
        begun, has_ended = (
            datetime.fromtimestamp(process.create_time(), UTC),
            process.status() == psutil.STATUS_ZOMBIE,
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # Some hosts hide the processes of other users.
        return Worker.UNKNOWN
    # A later process may have been given the same number.
    is_another = begun > datetime.fromisoformat(holder.since) + _SAME_START
    return Worker.NOBODY if has_ended or is_another else Worker.PROCESS


def worker_by_jobs(stage: str, jobs: Sequence[JobStatus], other: Worker) -> Worker:
    """Say who works on a stage, by its job; `other` is what is known without jobs: it may have been started by hand."""
    places = {job.place for job in jobs if job.stage == stage}
    if JobPlace.RUNS in places:
        return Worker.JOB
    waits = not places.isdisjoint((JobPlace.WAITS, JobPlace.NEVER_STARTS))
    return Worker.NOBODY if waits and other is Worker.UNKNOWN else other


def _begun_last(files: RunFiles) -> str | None:
    """Return the stage that was begun last of those that are not done: the one that the run's holder is at work on."""
    begun: Mapping[str, datetime | None] = {
        stage: files.changed(f"{stage}/started.json")
        for stage in STAGES
        if files.changed(f"{stage}/manifest.json") is None
    }
    times = {stage: time for stage, time in begun.items() if time is not None}
    # A process that has just started has begun nothing yet: it will begin the first that is not done.
    return max(times, key=times.__getitem__, default=next(iter(begun), None))


def _has_last_word(files: RunFiles, stage: str) -> bool:
    from hermes_train.training.watch.stage_log import StageLog

    try:
        return StageLog(files.run / stage).end() is not None
    except OSError:
        # RunFiles notes what is barred.
        return False


def _quiet(folder: Path, now: datetime) -> timedelta | None:
    newest = newest_change(folder)
    return None if newest is None else now - newest


def _detail(files: RunFiles, stage: str, standing: Standing, holder: Holder | None) -> str:
    if standing is Standing.UNKNOWN and holder is not None and not files.has_fault(stage):
        return (
            f"process {holder.process} on {holder.host} has held it since {holder.since}, and no file changes"
        )
    if stage == "evaluate" and standing is not Standing.DONE:
        asked = [model for model in MODELS if files.changed(f"evaluate/{model}/manifest.json")]
        begun = [
            model
            for model in MODELS
            if model not in asked and files.changed(f"evaluate/{model}/started.json")
        ]
        told = f"asked so far: {', '.join(asked)}" if asked else ""
        return "; ".join(part for part in (told, f"begun: {', '.join(begun)}" if begun else "") if part)
    sampling = files.changed("samples/started.json") and not files.changed("samples/manifest.json")
    if stage == "hybrid" and standing is not Standing.MISSING and sampling:
        return "the model of sft thinks anew, for length control"
    return ""
