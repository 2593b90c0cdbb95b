"""When checkpoints are saved, and the mark on one that every rank has finished writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.training.ranks import is_main, wait_for_all
from hermes_train.training.resume.checkpoints import CheckpointFacts, checkpoint_path, mark_complete
from hermes_train.training.watch.stage_log import Entry, StageLog


class CheckpointMark(TrainerCallback):
    """Has checkpoints saved as often as the recipe says, and marks one as whole once every rank has saved its part."""

    def __init__(self, log: StageLog, facts: Callable[[], CheckpointFacts]) -> None:
        """`facts` tells what the checkpoint says of itself, see `WholeCheckpoints`."""
        self._log = log
        self._facts = facts

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Take `save_every` from the recipe: a resumed Trainer takes it from the checkpoint."""
        state.save_steps = args.save_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Wait for the other ranks, then mark."""
        wait_for_all()
        if is_main():
            mark_complete(checkpoint_path(Path(args.output_dir), state.global_step), self._facts())
            self._log.write(Entry.SAVED, f"checkpoint-{state.global_step}")
