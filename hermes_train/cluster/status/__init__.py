"""`hermes-train status RUN`: how a run stands, by its folder and by the jobs that Slurm has of it.

It only reads, imports no torch, and can be asked of a run that is being written, by whoever may read its folder.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from data_filters.errors import UserError
from hermes_train.cluster.attempts.record import FILE as ATTEMPTS_FILE
from hermes_train.cluster.attempts.record import Attempt
from hermes_train.cluster.host_orders import FIRST, HOSTS
from hermes_train.cluster.status.advice import Commands, advise
from hermes_train.cluster.status.files import RunFiles
from hermes_train.cluster.status.jobs import read_jobs
from hermes_train.cluster.status.records import JobsStatus, RunStatus
from hermes_train.cluster.status.stages import read_stages
from hermes_train.cluster.status.training import read_training
from hermes_train.report.records import TRAINING_STAGES
from hermes_train.runs import JOBS, recipe_and_options


@dataclass(frozen=True)
class RunCard:
    """What is read of run.json."""

    name: str
    recipe: str
    created: str
    recipe_path: str = ""
    overrides: tuple[str, ...] = ()


def read_status(run: Path, now: datetime | None = None) -> RunStatus:
    """Return how the run in the folder `run` stands. Raises UserError where it is no run's folder, or barred."""
    now = now or datetime.now(UTC)
    files = RunFiles(run)
    card = _card(files)
    jobs = read_jobs(files)
    stages = read_stages(files, jobs.jobs, now)
    training = read_training(files, stages, now)
    attempts = {
        stage: tuple(files.last_records(f"{JOBS}/{stage}/{ATTEMPTS_FILE}", Attempt))
        for stage in TRAINING_STAGES
    }
    commands = Commands(go_on_command(run, card, _launcher(run, jobs)), _look_again(run))
    return RunStatus(
        run=str(run),
        owner=_owner(run),
        name=card.name,
        recipe=card.recipe_path or card.recipe,
        created=card.created,
        stages=stages,
        training=training,
        jobs=jobs,
        attempts={stage: tries for stage, tries in attempts.items() if tries},
        faults=tuple(dict.fromkeys(files.faults)),
        advice=advise(str(run), stages, training, jobs, attempts, commands),
    )


class Launcher(StrEnum):
    """What started the run, and so what goes on with it."""

    SLURM = "hermes-train launch"
    HOSTS = "hermes-train launch --cluster torchrun"
    THIS_HOST = "hermes-train run"


def go_on_command(run: Path, card: RunCard, launcher: Launcher) -> str:
    """Return the command line that starts what is not done of a run."""
    # `.` has no name, and its parent is `.` again.
    runs = run.parent if run.name else run.resolve().parent
    command = [*launcher.split(), *recipe_and_options(card.recipe_path or card.recipe, runs, card.overrides)]
    where = " (on every host, with HERMES_NODES and HERMES_RENDEZVOUS)" if launcher is Launcher.HOSTS else ""
    return shlex.join(command) + where


def _launcher(run: Path, jobs: JobsStatus) -> Launcher:
    if jobs.jobs:
        return Launcher.SLURM
    return Launcher.HOSTS if (run / HOSTS / FIRST).exists() else Launcher.THIS_HOST


def _look_again(run: Path) -> str:
    return shlex.join(["hermes-train", "status", str(run), "--watch", "30"])


def _card(files: RunFiles) -> RunCard:
    run = files.run
    if not run.exists():
        raise UserError(f"there is no folder {run}; a run's is runs/NAME, where its recipe has name: NAME")
    if not run.is_dir():
        raise UserError(f"{run} is no folder; a run's is runs/NAME, where its recipe has name: NAME")
    card = files.record("run.json", RunCard)
    if card is not None:
        return card
    if files.faults:
        raise UserError(f"{run}: {files.faults[0]}")
    below = sorted(path.parent.name for path in run.glob("*/run.json"))
    hint = f"; the runs in it are {', '.join(below)}" if below else "; `hermes-train run RECIPE` makes one"
    raise UserError(f"{run} is no run's folder: it has no run.json{hint}")


def _owner(run: Path) -> str:
    try:
        return run.owner()
    except KeyError:
        # A user that this host does not know.
        return str(run.stat().st_uid)
