"""An older try that goes on beside a newer one ends before it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data_filters.errors import RunFailedError
from hermes_train.training import ranks
from hermes_train.training.watch.tries import is_superseded


class Fence(TrainerCallback):
    """Ends the training of a try that Slurm has given up: one small file is read by rank 0 at each step."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look. Raises RunFailedError; the other ranks cannot take another step without this one."""
        if ranks.is_main() and is_superseded(self._stage):
            raise RunFailedError(
                f"Slurm has begun a newer try of {self._stage.name}; this one ends after step {state.global_step}, "
                "and saves nothing"
            )
