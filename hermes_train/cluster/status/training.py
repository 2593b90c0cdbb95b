"""The training stage that is begun and not done: how far it is, how fast, and whether it still moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

from hermes_train.cluster.status.files import RunFiles, newest_change, read_settings
from hermes_train.cluster.status.records import Checkpoint, Movement, StageStatus, Standing, Training
from hermes_train.report.records import TRAINING_STAGES
from hermes_train.runs import JOBS
from hermes_train.training.watch.tries import FILE as TRY_FILE
from hermes_train.training.watch.tries import Try, stacks_folder

_LAST_STEPS = 50
"""The steps whose mean tells the pace."""

_LOG_LINES = 4

_WORKS_IN = {"hybrid": "samples", "dpo": "references"}
"""Where a stage writes for hours before its first step: thoughts made anew, the reference's log-probabilities."""

STILL_STEPS = 10
"""A stage that made no step in the time of so many is pointed at, ..."""
STILL_LEAST = timedelta(minutes=5)
"""... but never sooner than a save may take."""
STILL_AT_FIRST = timedelta(minutes=20)
"""Before the first step the model is read, sharded, and its save rehearsed."""


@dataclass(frozen=True)
class StepFigures:
    """What is read of a line of metrics.jsonl."""

    step: int
    seconds: float
    loss: float | None = None
    grad_norm: float | None = None
    lr: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None


def movement(is_at_work: bool, step_seconds: float | None, quiet: timedelta) -> Movement:
    """Say whether a stage moves. `quiet`: since it last made a step, saved or began; `step_seconds`: None before a
    process' first step."""
    if not is_at_work:
        return Movement.ENDED
    if step_seconds is None:
        return Movement.STILL if quiet > STILL_AT_FIRST else Movement.BEGINS
    patience = max(STILL_LEAST, timedelta(seconds=STILL_STEPS * step_seconds))
    return Movement.STILL if quiet > patience else Movement.MOVES


def read_training(files: RunFiles, stages: Sequence[StageStatus], now: datetime) -> Training | None:
    """Return the training stage that is at work, or else the first that was interrupted; None without either."""
    begun = [
        stage
        for stage in stages
        if stage.stage in TRAINING_STAGES and stage.standing in (Standing.AT_WORK, Standing.INTERRUPTED)
    ]
    if not begun:
        return None
    found = next((stage for stage in begun if stage.standing is Standing.AT_WORK), begun[0])
    return _training(files, found.stage, found.standing is Standing.AT_WORK, now)


def _training(files: RunFiles, stage: str, is_at_work: bool, now: datetime) -> Training:
    from hermes_train.training.watch.stage_log import LOG_FILE

    log = f"{stage}/{LOG_FILE}"
    lines = files.last_records(f"{stage}/metrics.jsonl", StepFigures)
    last = lines[-1] if lines else None
    steps = _steps(files, stage)
    pace = fmean(line.seconds for line in lines[-_LAST_STEPS:]) if lines else None
    last_step = files.changed(f"{stage}/metrics.jsonl") if last else None
    began = _latest(files.changed(f"{stage}/started.json"), files.changed(f"{JOBS}/{stage}/{TRY_FILE}"))
    # A process that goes on from a checkpoint has the model to read and a save to rehearse before its first step.
    is_before_first_step = last_step is None or (began is not None and began > last_step)
    beside = newest_change(files.run / _WORKS_IN[stage]) if stage in _WORKS_IN else None
    quiet = now - (_latest(last_step, files.changed(log), began, beside) or now)
    left = (steps - last.step) * pace if is_at_work and steps and last and pace else None
    return Training(
        stage=stage,
        movement=movement(is_at_work, None if is_before_first_step else pace, quiet),
        step=last.step if last else None,
        steps=steps,
        loss=last.loss if last else None,
        grad_norm=last.grad_norm if last else None,
        learning_rate=last.lr if last else None,
        tokens_per_second=last.tokens_per_second if last else None,
        mfu=last.mfu if last else None,
        step_seconds=pace,
        last_step=last_step,
        seconds_since_last_step=_seconds_since(last_step, now),
        seconds_left=left,
        checkpoint=_checkpoint(files, stage),
        last_word=None if is_at_work else _last_word(files, stage),
        log=str(files.run / log),
        log_lines=tuple(files.last_lines(log, _LOG_LINES)),
        stacks=_stacks(files, stage),
    )


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _seconds_since(time: datetime | None, now: datetime) -> float | None:
    # The clock of a file server may be a little ahead.
    return None if time is None else max(0.0, (now - time).total_seconds())


def _steps(files: RunFiles, stage: str) -> int | None:
    """Return the steps that the run's recipe gives to a stage."""
    name = "recipe.yaml"
    try:
        settings: Any = read_settings((files.run / name).read_text(encoding="utf-8"))
        return int(settings[stage]["steps"])
    except FileNotFoundError:
        return None
    except OSError as error:
        files.faults.append(f"{name} cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError) as error:
        files.faults.append(f"{name} is damaged: {error}")
    return None


def _checkpoint(files: RunFiles, stage: str) -> Checkpoint | None:
    from hermes_train.training.resume.checkpoints import MARK, latest_complete, step_of

    try:
        latest = latest_complete(files.run / stage)
        if latest is None:
            return None
        saved = datetime.fromtimestamp((latest / MARK).stat().st_mtime, UTC)
        return Checkpoint(step_of(latest), saved)
    except FileNotFoundError:
        # The run has removed it while it was looked at: there is a newer one, or the stage is done.
        return None
    except PermissionError as error:
        files.faults.append(f"{stage}'s checkpoints cannot be read: {error.strerror}")
        return None


def _stacks(files: RunFiles, stage: str) -> tuple[str, ...]:
    from hermes_train.training.watch.stacks import read_stacks

    name = f"{JOBS}/{stage}"
    begun = files.record(f"{name}/{TRY_FILE}", Try)
    try:
        found = read_stacks(stacks_folder(files.run / name, begun.place if begun else None))
    except OSError as error:
        files.faults.append(f"{name} cannot be read: {error.strerror}")
        return ()
    told = [(rank, stack.node, stack.place) for rank, stack in found.items() if stack.place is not None]
    told.sort(key=lambda each: each[2].waits)
    return tuple(f"rank {rank} on {node} hangs: it {place}" for rank, node, place in told)


def _last_word(files: RunFiles, stage: str) -> str | None:
    from hermes_train.training.watch.stage_log import StageLog

    try:
        end = StageLog(files.run / stage).end()
    except OSError as error:
        files.faults.append(f"{stage}/log.txt cannot be read: {error.strerror}")
        return None
    return f"{end.reason}: {end.text}" if end else None
