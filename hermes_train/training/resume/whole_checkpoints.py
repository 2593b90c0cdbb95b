"""How the Trainer saves and loads checkpoints: never a whole model on one rank, and a disk that is full is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from hermes_train.training.resume import universal
from hermes_train.training.resume.checkpoints import CheckpointFacts, checkpoint_path, model_fingerprint
from hermes_train.training.watch.line_file import NO_ROOM
from hermes_train.training.watch.stage_log import DiskFullError

_FAILED_WRITES = (
    "inline_container",
    "iostream error",
    "No space left",
    "Disk quota exceeded",
    "File too large",
)
"""What PyTorch's writer of archives says of a write that failed, and what safetensors says of a full disk."""


class WholeCheckpoints:
    """A mix-in for Trainers, before them in the order of classes."""

    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    control: Any
    is_deepspeed_enabled: bool
    _weight_decays: Sequence[float] = ()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights where DeepSpeed does not: its own checkpoint has each rank's part of them."""
        if not self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)  # type: ignore[misc]  # the Trainer's

    def checkpoint_facts(self) -> CheckpointFacts:
        """Return what a checkpoint saved now would say of itself."""
        zero = (self.args.deepspeed or {}).get("zero_optimization", {})
        return CheckpointFacts(
            self.state.global_step, self.args.world_size, zero.get("stage", 0), model_fingerprint(self.model)
        )

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        output = Path(self.args.output_dir)
        if self.state.best_global_step is not None:
            # The Trainer asks whether the folder is there, which DeepSpeed makes only after that.
            self.state.best_model_checkpoint = str(checkpoint_path(output, self.state.best_global_step))
        with write_failure_told(checkpoint_path(output, self.state.global_step)):
            super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]  # the Trainer's

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch, unless a checkpoint of the last step was loaded: the Trainer looks only after a step."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[misc]  # the Trainer's

    def _load_from_checkpoint(self, checkpoint: str, model: torch.nn.Module | None = None) -> None:
        if universal.is_converted(Path(checkpoint)):
            universal.load_weights(Path(checkpoint), model or self.model)
        else:
            super()._load_from_checkpoint(checkpoint, model)  # type: ignore[misc]  # the Trainer's

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Return the Trainer's optimizer, whose groups differ in their weight decay; it is noted."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)  # type: ignore[misc]  # the Trainer's
        if not self._weight_decays:
            self._weight_decays = [
                group["weight_decay"] for group in optimizer.param_groups if group["params"]
            ]
        return optimizer

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not universal.is_converted(Path(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]  # the Trainer's
            return
        if not self.is_deepspeed_enabled:
            universal.load_optimizer(Path(checkpoint), self.model, self.optimizer)
        for state in self.optimizer.state.values():
            # DeepSpeed gives all groups one tensor, which each of them would count up, and on the CPU, where a fused
            # optimizer on a GPU must not read it.
            state["step"] = torch.as_tensor(state["step"]).to(state["exp_avg"].device, copy=True)
        schedule = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
        # DeepSpeed knows no groups without parameters, and gives all the values of the first.
        (rate, *_), _ = schedule.pop("_last_lr"), schedule.pop("base_lrs")
        self.lr_scheduler.load_state_dict(schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for group, decay in zip(self.optimizer.param_groups, self._weight_decays, strict=False):
            group["weight_decay"] = decay


@contextmanager
def write_failure_told(path: Path) -> Iterator[None]:
    """Turn what a full disk makes the block raise into DiskFullError, which says how much room there is."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_for_want_of_room(error):
            raise
        free = shutil.disk_usage(path.parent).free
        raise DiskFullError(
            f"{path} could not be written: the disk has {free / 1e6:.0f} MB free; make room and start the same command "
            "again: it goes on after the last whole checkpoint"
        ) from error


def _is_for_want_of_room(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    # PyTorch and safetensors tell of a write that failed in their own words only.
    return any(words in str(error) for words in _FAILED_WRITES)
