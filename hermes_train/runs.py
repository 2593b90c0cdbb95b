"""The folder of a run: what is done, what is out of date and why, and who is at work in it.

    runs/<recipe name>/
      run.json  recipe.yaml  report.html
      <stage>/started.json    the inputs of the stage being made (its leftovers can be continued)
      <stage>/manifest.json   the inputs and figures of the finished stage; written last
      jobs/                   what the jobs of a cluster leave; never cleared

A stage is done when its manifest is there and names the inputs that it would have now. Inputs are fingerprints by
name, so that a stage that is out of date can say which of them changed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import msgspec

from data_filters.errors import RunFailedError as RunFailedError
from data_filters.errors import UserError
from data_filters.files import write_atomically
from hermes_train.recipe.overrides import as_options

STAGES = ("prepare", "filter", "pack", "sft", "hybrid", "dpo", "evaluate", "export")
"""The stages of a run, in order."""

TRAINING = ("sft", "hybrid", "dpo")
"""Those that train, on ranks."""

MADE_BY = {"base": "prepare", "sft": "sft", "hybrid": "hybrid", "dpo": "dpo"}
"""The models of a run by their names in the scores, and the stage that makes each."""

EVALUATED_AFTER = {"filter": "base", "sft": "sft", "hybrid": "hybrid", "dpo": "dpo"}
"""The model to evaluate when a stage is done: the base once the filter has written the held-out problems."""

BUILT_ON = {
    "prepare": (),
    "filter": (),
    "pack": ("prepare", "filter"),
    "sft": ("prepare", "pack"),
    "hybrid": ("pack", "sft"),
    "dpo": ("pack", "hybrid"),
    "evaluate": ("filter", "prepare", "sft", "hybrid", "dpo"),
    "export": ("filter", "dpo", "evaluate"),
}
"""The stages that a stage reads from; they must be done first."""

DEFAULT_RUNS = Path("runs")
"""Where the folders of runs lie unless --runs says otherwise."""

JOBS = "jobs"
"""The folder of what the jobs of a cluster leave beside the stages: their output, their record, their tries."""


_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What flock says on Lustre that is mounted without `flock`, and on NFS without lockd."""


def recipe_and_options(recipe: str, runs: Path, overrides: Iterable[str]) -> list[str]:
    """Return what stands behind the name of a command for this recipe in this folder, as a user would type it."""
    folder = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    return [recipe, *folder, *as_options(overrides)]


class RunHeldError(UserError):
    """Another process is at work in the run."""


def take_lock(file: IO[bytes], folder: Path) -> bool:
    """Return whether this process holds the lock of an open file of `folder` from now on, or another does.

    Raises UserError where the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"{folder} lies on a file system without file locks ({error.strerror}); choose another folder with --runs, "
            "or have it mounted with them (Lustre: the option flock; NFS: version 4, or lockd)"
        ) from error
    return True


class StageState(StrEnum):
    """Where a stage stands."""

    DONE = "done"
    MISSING = "not made yet"
    INTERRUPTED = "interrupted; it continues"
    CHANGED = "out of date"


@dataclass(frozen=True)
class Standing:
    """The state of a stage; `changed` names the inputs that differ from those it was made with."""

    state: StageState
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.state}: {', '.join(self.changed)} changed" if self.changed else str(self.state)


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that name a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return a name for a file's state by size and time of change: reading terabytes to know that nothing changed
    would cost more than the stage."""
    status = path.stat()
    return fingerprint([status.st_size, status.st_mtime_ns])


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    with write_atomically(path) as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")


@dataclass(frozen=True)
class Holder:
    """The process that holds a run: {"host": "n1", "process": 4711, "since": "2026-11-22T09:14:03+00:00"}."""

    host: str
    process: int
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """Return the process that asks, from now on."""
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class StageFolder:
    """One stage's place in a run."""

    path: Path
    stage: str

    @property
    def manifest_path(self) -> Path:
        """The file whose presence says that the stage is finished."""
        return self.path / "manifest.json"

    @property
    def _started_path(self) -> Path:
        return self.path / "started.json"

    def manifest(self) -> dict[str, Any] | None:
        """Return what the finished stage wrote of itself, or None."""
        return _read_json(self.manifest_path)

    def standing(self, inputs: Mapping[str, str]) -> Standing:
        """Compare what the stage was made with to what it would be made with now."""
        manifest = self.manifest()
        if manifest is not None:
            changed = _differences(manifest["inputs"], inputs)
            return Standing(StageState.CHANGED, changed) if changed else Standing(StageState.DONE)
        started = _read_json(self._started_path)
        if started is None:
            return Standing(StageState.MISSING)
        changed = _differences(started["inputs"], inputs)
        return Standing(StageState.CHANGED, changed) if changed else Standing(StageState.INTERRUPTED)

    def begin(self, inputs: Mapping[str, str], keep: bool = False) -> None:
        """Make the folder ready: keep what an interrupted stage of the same inputs left, clear anything else.

        `keep` clears nothing but the manifest: for a stage whose parts know themselves whether they are done.
        """
        if keep:
            self.manifest_path.unlink(missing_ok=True)
        elif self.standing(inputs).state is not StageState.INTERRUPTED and self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self._started_path, {"stage": self.stage, "inputs": dict(inputs)})

    def finish(self, inputs: Mapping[str, str], figures: Mapping[str, Any], seconds: float) -> None:
        """Write the manifest; from then on the stage is done."""
        manifest = {
            "stage": self.stage,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 2),
            "inputs": dict(inputs),
            "figures": dict(figures),
        }
        write_json(self.manifest_path, manifest)


@dataclass(frozen=True)
class RunFolder:
    """One run's folder."""

    path: Path

    def stage(self, name: str) -> StageFolder:
        """Return the place of the stage `name`."""
        return StageFolder(self.path / name, name)

    def open(self, recipe_name: str, recipe_file: Path, facts: Mapping[str, Any]) -> None:
        """Create the folder, or check that it belongs to this recipe. Raises UserError when it does not."""
        known = _read_json(self.path / "run.json")
        if known is None and self.path.exists() and any(_content(self.path)):
            raise UserError(f"{self.path} is not empty and is not a run folder; choose another with --runs")
        if known is not None and (known["name"], known["recipe"]) != (recipe_name, recipe_file.name):
            raise UserError(
                f"{self.path} holds the run of the recipe {known['recipe']} (name: {known['name']}), not of "
                f"{recipe_file.name} (name: {recipe_name}); choose another folder with --runs or another name"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        created = known["created"] if known else datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self.path / "run.json", {"recipe": recipe_file.name, "created": created, **facts})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises RunHeldError when another process holds it, and UserError where the file system has no locks.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # For appending: opening it must not wipe out the name of the process that holds it.
        with self._lock_path.open("ab") as lock:
            if not take_lock(lock, self.path):
                raise RunHeldError(
                    f"another process is at work in {self.path}{self._held_by()}; wait for it or stop it first"
                )
            lock.truncate(0)
            lock.write(msgspec.json.encode(Holder.this_process()))
            lock.flush()
            try:
                yield
            finally:
                lock.truncate(0)

    def holder(self) -> Holder | None:
        """Return the process that holds the run, or held it when it was killed; None where the last one let it go."""
        try:
            return msgspec.json.decode(self._lock_path.read_bytes(), type=Holder)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    @property
    def _lock_path(self) -> Path:
        return self.path / ".lock"

    def _held_by(self) -> str:
        holder = self.holder()
        return f" (process {holder.process} on {holder.host}, since {holder.since})" if holder else ""


def _content(folder: Path) -> Iterator[Path]:
    # A job's output may be there before the job has opened the run.
    return (entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name != JOBS)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        value: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it, and what it tells of is made anew"
        ) from error
    return value


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
