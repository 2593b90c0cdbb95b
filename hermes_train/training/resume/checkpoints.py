"""Checkpoints that are known to be whole.

The Trainer writes a checkpoint file by file; a process killed in between leaves one that looks like any other. A
checkpoint counts only once `complete.json` stands in it, written after every rank has finished saving:

    {"step": 500, "ranks": 64, "zero_stage": 3, "model": "9f2c41d07a3be518",
     "files": {"trainer_state.json": 1834, "global_step500/zero_pp_rank_0_mp_rank_00_optim_states.pt": 1215752192}}

The sizes tell a file that was cut short or lost afterwards before anything is loaded.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hermes_train.runs import fingerprint, write_json

if TYPE_CHECKING:
    import torch

_NAME = re.compile(r"checkpoint-(\d+)")
MARK = "complete.json"


class CheckpointFacts(msgspec.Struct, frozen=True):
    """What a whole checkpoint says of itself."""

    step: int
    """The optimizer step after which it was saved."""
    ranks: int
    zero_stage: int
    """0 where DeepSpeed had no part in it."""
    model: str
    """Name of the model's parameters by name and shape, see `model_fingerprint`."""
    files: dict[str, int] = {}
    """Bytes of each file, by its path within the checkpoint."""


@dataclass(frozen=True)
class Found:
    """The checkpoints of a stage."""

    latest: Path | None
    """The whole checkpoint of the highest step."""
    damaged: dict[Path, str]
    """Later ones that were whole once, and what has become of them."""


def mark_complete(checkpoint: Path, facts: CheckpointFacts) -> None:
    """Declare a checkpoint whole, with the sizes of the files that it has now."""
    complete = msgspec.structs.replace(facts, files=file_sizes(checkpoint))
    write_json(checkpoint / MARK, msgspec.to_builtins(complete))


def find_checkpoints(folder: Path) -> Found:
    """Return the latest whole checkpoint in `folder`, and which later ones were damaged after they were whole."""
    damaged: dict[Path, str] = {}
    marked = [path for path in _checkpoints(folder) if (path / MARK).exists()]
    for path in sorted(marked, key=_number, reverse=True):
        damage = damage_of(path)
        if damage is None:
            return Found(path, damaged)
        damaged[path] = damage
    return Found(None, damaged)


def latest_complete(folder: Path) -> Path | None:
    """Return the whole checkpoint of the highest step in `folder`, or None."""
    return find_checkpoints(folder).latest


def facts_of(checkpoint: Path) -> CheckpointFacts:
    """Return what a whole checkpoint says of itself. Raises msgspec.DecodeError where its mark is damaged."""
    return msgspec.json.decode((checkpoint / MARK).read_bytes(), type=CheckpointFacts)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a whole checkpoint was saved."""
    return facts_of(checkpoint).step


def bytes_of(checkpoint: Path) -> int:
    """Return the bytes that a whole checkpoint had when it was saved, without the universal form it may have since."""
    return sum(facts_of(checkpoint).files.values())


def model_fingerprint(model: torch.nn.Module) -> str:
    """Return a name for a model's parameters, by their names and shapes; the same however they are spread."""
    shapes = {
        name: list(getattr(parameter, "ds_shape", parameter.shape))
        for name, parameter in model.named_parameters()
    }
    return fingerprint(shapes)


def remove_after(folder: Path, step: int) -> None:
    """Delete the checkpoints of later steps, and those that were cut off while they were written.

    The later ones are damaged. The Trainer, which keeps the newest, would count them and delete sound ones.
    """
    for path in _checkpoints(folder):
        if _number(path) > step or not (path / MARK).exists():
            shutil.rmtree(path)


def remove_all(folder: Path) -> None:
    """Delete every checkpoint in `folder`."""
    for path in _checkpoints(folder):
        shutil.rmtree(path)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies, as the Trainer names it."""
    return folder / f"checkpoint-{step}"


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def damage_of(checkpoint: Path) -> str | None:
    """Return why a checkpoint is not whole, or None."""
    if not (checkpoint / MARK).exists():
        return f"{MARK} is missing"
    try:
        return changed_file(checkpoint, facts_of(checkpoint).files)
    except msgspec.DecodeError as error:
        return f"{MARK} is damaged ({error})"


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file in a folder and below, by its path within it."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed_file(folder: Path, sizes: Mapping[str, int]) -> str | None:
    """Return which file is gone or has another size than it had, or None."""
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
    return None
