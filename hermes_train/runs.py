"""The folder of a run: what is done, what is out of date and why, and who is at work in it.

    runs/<recipe name>/
      run.json  recipe.yaml  report.html
      <stage>/started.json    the inputs of the stage being made (its leftovers can be continued)
      <stage>/manifest.json   the inputs and figures of the finished stage; written last

A stage is done when its manifest is there and names the inputs that it would have now. Inputs are fingerprints by
name, so that a stage that is out of date can say which of them changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from data_filters.errors import RunFailedError as RunFailedError
from data_filters.errors import UserError
from data_filters.files import write_atomically

STAGES = ("prepare", "filter", "pack", "sft", "hybrid", "dpo", "evaluate", "export")
"""The stages of a run, in order."""


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
        if known is None and self.path.exists() and any(_visible(self.path)):
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
        """Hold the run for this process. Raises UserError when another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process is at work in {self.path}; wait for it or stop it first"
                ) from error
            yield


def _visible(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))


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
