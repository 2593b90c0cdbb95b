"""`<run>/jobs/preflight/<token>/<host>-<rank>.json`: how far each rank came, written before any rank needs another.

    {"rank": 8, "host": "n2", "process": 4711, "phase": "meeting the others"}

A rank that hangs or dies is then named by the last thing that it began, and one that wrote nothing never started. This
module imports no torch, whose import is one of the things that hang.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from hermes_train.cluster.preflight.facts import Place
from hermes_train.runs import JOBS, write_json

FOLDER = "preflight"


class Phase(StrEnum):
    """What a rank is at."""

    LOADING = "loading its libraries"
    LOOKING = "looking at its host"
    MEETING = "meeting the others"
    TOGETHER = "measuring with the others"


class Presence(msgspec.Struct, frozen=True):
    """What a rank wrote of itself."""

    rank: int
    host: str
    process: int
    phase: Phase


def token(environment: Mapping[str, str]) -> str:
    """Return a name for this check that all of its ranks find, and no earlier check had.

    In a Slurm step it is 1234.1.2: the job, how often it was restarted, the step.
    """
    job = environment.get("SLURM_JOB_ID")
    if job:
        return f"{job}.{environment.get('SLURM_RESTART_COUNT', '0')}.{environment.get('SLURM_STEP_ID', '0')}"
    return environment.get("TORCHELASTIC_RUN_ID") or f"process-{os.getpid()}"


class PresenceFiles:
    """The files of one check."""

    def __init__(self, run_folder: Path, name: str, place: Place) -> None:
        self.folder = run_folder / JOBS / FOLDER / name
        self.problem = ""
        """Why this rank could not write its file; empty where it could."""
        self._place = place

    def tell(self, phase: Phase) -> None:
        """Write what this rank is at. A folder where that fails is a finding of the check, and does not end it."""
        presence = Presence(self._place.rank, self._place.host, os.getpid(), phase)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self._path, msgspec.to_builtins(presence))
        except OSError as error:
            self.problem = error.strerror or str(error)

    def read(self) -> dict[int, Presence]:
        """Return what is known of the ranks by their numbers."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                presence = msgspec.json.decode(path.read_bytes(), type=Presence)
            except (OSError, msgspec.DecodeError):
                # Gone since, or of another version of hermes-train: it tells nothing.
                continue
            found[presence.rank] = presence
        return found

    def clear(self) -> None:
        """Remove this rank's file: a later check of the same name must not take it for its own."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self._place.host}-{self._place.rank}.json"
