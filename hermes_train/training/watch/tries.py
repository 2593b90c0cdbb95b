"""`<run>/jobs/<stage>/try.json`: which try of a stage is the one at work, where a Slurm job may be tried several times.

    {"job": 1234, "restart": 1, "nodes": ["n1", "n2"], "started": "2026-11-22T09:14:03+00:00", "from_step": 500,
     "signal": null}

A node that Slurm has lost sight of may still run an older try. Its rank 0 reads here that it is no longer wanted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

FILE = "try.json"

VARIABLE = "HERMES_TRY"
"""Tells the ranks of a try its folder, `<run>/jobs/<stage>/tries/1234.1`: the job, and how often it was restarted."""


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """A try that was begun."""

    job: int
    restart: int
    """How often Slurm had put the job back into the queue before."""
    nodes: tuple[str, ...]
    started: str
    from_step: int
    """The step of the checkpoint that it goes on from; 0 at the start."""
    signal: str | None = None
    """The first signal that asked it to stop."""

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the order of tries."""
        return self.job, self.restart


def jobs_folder(stage: Path) -> Path:
    """Return the folder of what is told of a stage's jobs; `stage` is the stage's own, which may be cleared."""
    return stage.parent / "jobs" / stage.name


def read_try(jobs: Path) -> Try | None:
    """Return the try that was begun last, or None. Raises msgspec.DecodeError where the file is damaged."""
    try:
        return msgspec.json.decode((jobs / FILE).read_bytes(), type=Try)
    except FileNotFoundError:
        return None


def own_place(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Return the job and the restart that this process belongs to; None outside of Slurm."""
    job = environment.get("SLURM_JOB_ID")
    return (int(job), int(environment.get("SLURM_RESTART_COUNT") or 0)) if job else None


def hosts_folder(jobs: Path, place: tuple[int, int]) -> Path:
    """Return where each host of a try leaves a file with its name once it has come up; `VARIABLE` tells it."""
    return jobs / "tries" / f"{place[0]}.{place[1]}"


def _place_of_try(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Return the place of the try that has started this process; None where none has: by hand, in a job or outside."""
    folder = environment.get(VARIABLE)
    if not folder:
        return None
    job, _, restart = Path(folder).name.partition(".")
    return int(job), int(restart)


def stacks_folder(jobs: Path, place: tuple[int, int] | None) -> Path:
    """Return where the ranks of a try write their stacks; `place` is None outside of Slurm."""
    folder = jobs / "stacks"
    return folder / f"{place[0]}.{place[1]}" if place else folder


def is_superseded(stage: Path) -> bool:
    """Say whether a newer try of the stage than this process' has begun; never of what was started by hand."""
    own, newest = _place_of_try(), read_try(jobs_folder(stage))
    return own is not None and newest is not None and newest.place > own
