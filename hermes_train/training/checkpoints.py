"""Checkpoints that are known to be whole.

The Trainer writes a checkpoint file by file; a process killed in between leaves one that looks like any other. A
checkpoint counts only once `complete.json` stands in it, written after every rank has finished saving.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from hermes_train.runs import write_json

_NAME = re.compile(r"checkpoint-(\d+)")
MARK = "complete.json"


def mark_complete(checkpoint: Path, step: int) -> None:
    """Declare a checkpoint whole."""
    write_json(checkpoint / MARK, {"step": step})


def latest_complete(folder: Path) -> Path | None:
    """Return the whole checkpoint of the highest step in `folder`, or None."""
    found = [path for path in _checkpoints(folder) if (path / MARK).exists()]
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a whole checkpoint was saved."""
    return int(json.loads((checkpoint / MARK).read_text(encoding="utf-8"))["step"])


def remove_incomplete(folder: Path) -> None:
    """Delete checkpoints that were cut off while they were written."""
    for path in _checkpoints(folder):
        if not (path / MARK).exists():
            shutil.rmtree(path)


def remove_all(folder: Path) -> None:
    """Delete every checkpoint in `folder`."""
    for path in _checkpoints(folder):
        shutil.rmtree(path)


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
