"""What there is to do next about a run, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_train.cluster.attempts.record import Attempt
from hermes_train.cluster.status.jobs import waits_for_somebody
from hermes_train.cluster.status.records import (
    Advice,
    JobPlace,
    JobsStatus,
    JobStatus,
    Movement,
    Next,
    Queue,
    StageStatus,
    Standing,
    Training,
)
from hermes_train.report.notation import duration

_HELD = ("JobHeldUser", "job_requeued_in_held_state", "launch_failed_requeued_held", "JobHoldMaxRequeue")
_ENDS_TO_MEND = ("error", "loss", "disk")
"""The reasons in a stage's log that come back when the same is simply started again."""


@dataclass(frozen=True)
class Commands:
    """What a user may type about the run."""

    go_on: str
    """Starts what is not done: `hermes-train launch ...`, or `hermes-train run ...` for a run without a cluster."""
    look_again: str


def advise(
    run: str,
    stages: Sequence[StageStatus],
    training: Training | None,
    jobs: JobsStatus,
    attempts: Mapping[str, Sequence[Attempt]],
    commands: Commands,
) -> Advice:
    """Return what to do next about the run in the folder `run`."""
    waiting = [job for job in jobs.jobs if job.place in (JobPlace.WAITS, JobPlace.NEVER_STARTS)]
    at_work = [stage.stage for stage in stages if stage.standing is Standing.AT_WORK]
    if all(stage.standing is Standing.DONE for stage in stages):
        return Advice(
            Next.NOTHING, f"nothing: the model is in {run}/export/model, the report is {run}/report.html"
        )
    if training is not None and training.movement is Movement.STILL:
        return _still(training)
    if at_work:
        return Advice(Next.WAIT, f"wait; {at_work[0]} is at work{_left(training)}: {commands.look_again}")
    if jobs.queue is Queue.NO_ANSWER:
        return Advice(Next.LOOK, f"Slurm tells nothing of the jobs; ask again: {commands.look_again}")
    if waiting:
        return _waiting(waiting, commands)
    return _nobody(stages, training, jobs, attempts, commands)


def _left(training: Training | None) -> str:
    if training is None or training.seconds_left is None:
        return ""
    return f" for about {duration(training.seconds_left)} more"


def _still(training: Training) -> Advice:
    stacks = f"; {training.stacks[0]}" if training.stacks else ""
    made = "has made no step since it began" if training.step is None else "has made no step for long"
    return Advice(Next.LOOK, f"{training.stage} {made}: look at {training.log} and at its output{stacks}")


def _waiting(waiting: Sequence[JobStatus], commands: Commands) -> Advice:
    never = [str(job.job) for job in waiting if job.place is JobPlace.NEVER_STARTS]
    if never:
        return Advice(
            Next.MEND, f"these jobs will never start: scancel {' '.join(never)}, and then {commands.go_on}"
        )
    held = [str(job.job) for job in waiting if job.reason in _HELD]
    if held:
        return Advice(Next.GO_ON, f"let the held jobs start: scontrol release {' '.join(held)}")
    stuck = next((job for job in waiting if waits_for_somebody(job)), None)
    if stuck is not None:
        return Advice(
            Next.MEND,
            f"job {stuck.job} ({stuck.stage}) cannot start: {stuck.because}; it waits until that is mended. Or scancel "
            f"it, change cluster.env or the recipe, and {commands.go_on}",
        )
    first = waiting[0]
    return Advice(Next.WAIT, f"wait; job {first.job} ({first.stage}) is in the queue: {first.because}")


def _nobody(
    stages: Sequence[StageStatus],
    training: Training | None,
    jobs: JobsStatus,
    attempts: Mapping[str, Sequence[Attempt]],
    commands: Commands,
) -> Advice:
    """Nobody is at work and no job is in the queue."""
    stage = next(stage for stage in stages if stage.standing is not Standing.DONE)
    if stage.standing is Standing.UNKNOWN:
        why = stage.detail or "see the notes above"
        return Advice(
            Next.LOOK,
            f"where {stage.stage} stands cannot be told: {why}; if nobody is at work, {commands.go_on}",
        )
    tried = attempts.get(stage.stage, ())
    failed = next(
        (job for job in jobs.jobs if job.stage == stage.stage and job.place is JobPlace.FAILED), None
    )
    word = training.last_word if training is not None and training.stage == stage.stage else None
    if word is not None and word.startswith(_ENDS_TO_MEND):
        return Advice(Next.MEND, f"{stage.stage} ended ({word}); mend that, then {commands.go_on}")
    if failed is not None and failed.state != "CANCELLED":
        told = f": {tried[-1].text}" if tried else f", {failed.because}"
        output = f"its output is {failed.log}; " if failed.log else ""
        return Advice(
            Next.MEND,
            f"job {failed.job} ({failed.stage}) did not end well{told}; {output}then {commands.go_on}",
        )
    return Advice(Next.GO_ON, f"go on with {stage.stage}: {commands.go_on}")
