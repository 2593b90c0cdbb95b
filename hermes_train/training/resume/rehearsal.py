"""A save rehearsed before the first step: what would fail after hours fails at once, and the room it takes is known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.training import ranks
from hermes_train.training.watch.stage_log import DiskFullError

FOLDER = "rehearsal"

_MOMENTS_BYTES = 8
"""AdamW's two averages of a parameter's gradient, float32, which PyTorch's optimizer has only after its first step."""


class SaveRehearsal(TrainerCallback):
    """Saves a checkpoint and the finished model aside, by the ways of the real saves, and removes them."""

    def __init__(self, trainer: Any, save_model: Callable[[Path], None], checkpoints_kept: int) -> None:
        """`save_model` writes the finished model as a folder; every rank calls it. `checkpoints_kept` stay at once."""
        self._trainer = trainer
        self._save_model = save_model
        self._checkpoints_kept = checkpoints_kept

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Rehearse where no checkpoint has shown yet that saving works. Raises DiskFullError."""
        folder = Path(args.output_dir) / FOLDER
        if ranks.is_main():
            shutil.rmtree(folder, ignore_errors=True)
        ranks.wait_for_all()
        if state.global_step > 0:
            return
        self._save(args, folder)
        ranks.wait_for_all()
        if ranks.is_main():
            checkpoint = _folder_bytes(folder / "checkpoint-0") + self._moments_to_come()
            model = _folder_bytes(folder / "model")
            shutil.rmtree(folder)
            require_room(folder.parent, checkpoint, self._checkpoints_kept, model)
        ranks.wait_for_all()

    def _save(self, args: TrainingArguments, folder: Path) -> None:
        output_dir, args.output_dir = args.output_dir, str(folder)
        try:
            self._trainer._save_checkpoint(self._trainer.model, trial=None)
        finally:
            args.output_dir = output_dir
        self._save_model(folder / "model")

    def _moments_to_come(self) -> int:
        if self._trainer.is_deepspeed_enabled or self._trainer.optimizer.state:
            return 0
        trained = (parameter for parameter in self._trainer.model.parameters() if parameter.requires_grad)
        return _MOMENTS_BYTES * sum(parameter.numel() for parameter in trained)


def require_room(folder: Path, checkpoint: int, checkpoints_kept: int, model: int) -> None:
    """Raise DiskFullError where the checkpoints to be kept, one in the making and the model (bytes) have no room."""
    needed = checkpoint * (checkpoints_kept + 1) + model
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"the disk of {folder} has {free / 1e9:.2f} GB free, and the stage needs {needed / 1e9:.2f} GB: "
            f"{checkpoints_kept + 1} checkpoints of {checkpoint / 1e9:.2f} GB and a model of {model / 1e9:.2f} GB; "
            "make room or give another folder with --runs"
        )


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
