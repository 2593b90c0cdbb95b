"""The status of a run for the terminal: one screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from hermes_train.cluster.attempts.record import Attempt
from hermes_train.cluster.status.records import (
    JobPlace,
    JobsStatus,
    JobStatus,
    Movement,
    Next,
    Queue,
    RunStatus,
    StageStatus,
    Standing,
    Training,
)
from hermes_train.report.notation import compact, count, duration, percent, significant
from hermes_train.runs import STAGES

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STAGE_STYLES = {
    Standing.DONE: "green",
    Standing.AT_WORK: "bold cyan",
    Standing.INTERRUPTED: "yellow",
    Standing.MISSING: "dim",
    Standing.UNKNOWN: "red",
}
_PLACE_STYLES = {
    JobPlace.RUNS: "bold cyan",
    JobPlace.WAITS: "yellow",
    JobPlace.NEVER_STARTS: "red",
    JobPlace.FAILED: "red",
    JobPlace.ENDED_WELL: "green",
    JobPlace.LEFT: "dim",
    JobPlace.NOT_KNOWN: "dim",
}
_NEXT_STYLES = {
    Next.NOTHING: "green",
    Next.WAIT: "cyan",
    Next.LOOK: "bold yellow",
    Next.MEND: "bold red",
    Next.GO_ON: "bold",
}
_TRIES_SHOWN = 5
_NODES_NAMED = 4
_STACKS_SHOWN = 3
_STATE_WIDTH = len("COMPLETING")
_STAGE_WIDTH = max(map(len, STAGES))


def status_parts(status: RunStatus, now: datetime) -> Iterator[RenderableType]:
    """Yield the run, its stages, the stage at work, its jobs and tries, what could not be read, and what to do next."""
    recipe = f"recipe {status.recipe}, begun {_day_and_time(status.created)} by {status.owner}"
    yield Text.assemble((status.name, "bold"), f"  {status.run}  ({recipe})")
    yield Text("")
    yield _stages_table(status.stages, status.attempts)
    yield Text("")
    if status.training is not None:
        yield from _training_lines(status.training, now)
    yield from _jobs(status.jobs)
    for stage in status.stages:
        if stage.standing is not Standing.DONE and stage.stage in status.attempts:
            yield from _tries(stage.stage, status.attempts[stage.stage])
    yield from (Text(f"note: {fault}", style="yellow") for fault in status.faults)
    yield Text.assemble("next: ", (status.advice.text, _NEXT_STYLES[status.advice.next]))


def _stages_table(stages: Sequence[StageStatus], attempts: Mapping[str, Sequence[Attempt]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("stage", "standing", "took", "ended", ""):
        table.add_column(name)
    for stage in stages:
        table.add_row(
            stage.stage,
            Text(stage.standing, style=_STAGE_STYLES[stage.standing]),
            duration(stage.seconds) if stage.seconds is not None else "",
            _local(stage.finished) if stage.finished else "",
            stage.detail or _number_of_tries(attempts.get(stage.stage, ())),
        )
    return table


def _number_of_tries(tries: Sequence[Attempt]) -> str:
    return "" if not tries else "1 try" if len(tries) == 1 else f"{len(tries)} tries"


def _training_lines(training: Training, now: datetime) -> Iterator[Text]:
    yield Text.assemble((training.stage, "bold"), f"  {_progress(training)}")
    if training.step is not None:
        yield Text(f"  {_figures(training)}")
    yield Text(f"  {_checkpoint(training, now)}")
    if training.movement is Movement.STILL:
        yield Text(f"  {_stillness(training)}", style="bold yellow")
    for line in training.log_lines:
        yield Text(f"  {line}", style="dim")
    if training.movement is Movement.ENDED and training.last_word is None:
        yield Text(
            "  its process left no word: kill -9, out of memory, or the machine stopped", style="yellow"
        )
    yield Text(f"  log: {training.log}", style="dim")
    for line in training.stacks[:_STACKS_SHOWN]:
        yield Text(f"  {line}", style="yellow")
    yield Text("")


def _progress(training: Training) -> str:
    if training.step is None:
        return "no step yet"
    share = f" ({percent(training.step / training.steps)})" if training.steps else ""
    parts = [f"step {count(training.step)} of {count(training.steps)}{share}"]
    if training.seconds_since_last_step is not None:
        parts.append(f"{duration(training.seconds_since_last_step)} ago")
    if training.seconds_left is not None:
        parts.append(f"about {duration(training.seconds_left)} left")
    return ", ".join(parts)


def _figures(training: Training) -> str:
    parts = [
        f"loss {_figure(training.loss, 4)}",
        f"grad norm {_figure(training.grad_norm, 3)}",
        f"learning rate {significant(training.learning_rate)}",
        f"{compact(training.tokens_per_second)} tokens/s",
        f"{duration(training.step_seconds)} a step",
    ]
    if training.mfu is not None:
        parts.append(f"MFU {percent(training.mfu)}")
    return ", ".join(parts)


def _figure(value: float | None, digits: int) -> str:
    # A run that came to grief: nan, inf.
    return str(value) if value is not None and not math.isfinite(value) else significant(value, digits)


def _checkpoint(training: Training, now: datetime) -> str:
    saved = training.checkpoint
    if saved is None:
        return "no whole checkpoint yet"
    age = duration(max(0.0, (now - saved.saved).total_seconds()))
    return f"last whole checkpoint: step {count(saved.step)}, {age} ago"


def _stillness(training: Training) -> str:
    if training.step is None:
        return "no step for long: reading a large model and rehearsing its save takes minutes, not this long"
    return f"no step for {duration(training.seconds_since_last_step)}; one takes {duration(training.step_seconds)}"


def _jobs(jobs: JobsStatus) -> Iterator[Text]:
    style = "dim" if jobs.queue is Queue.NO_JOBS else "yellow"
    yield Text.assemble(("jobs", "bold"), (f"  {jobs.text}", style))
    for job in jobs.jobs:
        state = Text(f"{job.state or job.place:{_STATE_WIDTH}}", style=_PLACE_STYLES[job.place])
        yield Text.assemble(f"  {job.stage:{_STAGE_WIDTH}}  {job.job}  ", state, "  ", "; ".join(_about(job)))
    yield Text("")


def _about(job: JobStatus) -> Iterator[str]:
    if job.because:
        yield f"{job.because} ({job.reason})" if job.reason else job.because
    if job.elapsed:
        yield f"{job.elapsed} of {job.time_limit} on {job.nodes}"
    elif job.number_of_nodes:
        nodes = "1 node" if job.number_of_nodes == 1 else f"{job.number_of_nodes} nodes"
        yield f"{job.time_limit} on {nodes}"
    if job.expected_start is not None:
        yield f"expected to start {_local(job.expected_start)}"
    if job.place is JobPlace.FAILED and job.log:
        yield f"its output: {job.log}"


def _tries(stage: str, tries: Sequence[Attempt]) -> Iterator[Text]:
    hidden = max(0, len(tries) - _TRIES_SHOWN)
    title = f"{_number_of_tries(tries)} of {stage}" + (f", the last {_TRIES_SHOWN}" if hidden else "")
    yield Text(title, style="bold")
    for number, attempt in enumerate(tries[hidden:], start=hidden + 1):
        yield Text(f"  {number}  {attempt.outcome}  {'; '.join(_about_try(attempt))}")
    yield Text("")


def _about_try(attempt: Attempt) -> Iterator[str]:
    yield f"checkpoints {count(attempt.from_step)} to {count(attempt.to_step)}"
    yield f"{attempt.text} (on {_few(attempt.nodes)})"
    if attempt.left_out:
        yield f"left out from then on: {', '.join(attempt.left_out)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NODES_NAMED else f"{len(names)} nodes"


def _local(time: datetime) -> str:
    """Return a time in the host's zone, as `squeue` prints it too."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def _day_and_time(text: str) -> str:
    return _local(datetime.fromisoformat(text))
