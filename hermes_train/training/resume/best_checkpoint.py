"""The checkpoint of the lowest held-out loss: it stays beside the last ones, and the stage's model is made from it.

Which one it is stands in each checkpoint's `trainer_state.json`, so that a process that goes on knows it:

    {"best_global_step": 500, "best_metric": 1.2340, "global_step": 700, ...}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data_filters.errors import RunFailedError
from hermes_train.training import ranks
from hermes_train.training.resume import universal
from hermes_train.training.resume.checkpoints import checkpoint_path, damage_of, facts_of
from hermes_train.training.resume.resuming import Way, way_of


@dataclass(frozen=True)
class BestStep:
    """The step whose checkpoint has the lowest held-out loss."""

    step: int
    held_out_loss: float

    @classmethod
    def of(cls, state: TrainerState) -> BestStep | None:
        """Return the best step so far; None before the first that is evaluated and saved."""
        if state.best_global_step is None or state.best_metric is None:
            return None
        return cls(state.best_global_step, state.best_metric)

    def told(self, last_step: int, last_loss: float | None) -> str:
        """Return which step the finished model is of, and what the last one had."""
        told = f"model of step {self.step}, held-out loss {self.held_out_loss:.4f}"
        if self.step == last_step or last_loss is None:
            return f"{told}: the last step is the best" if self.step == last_step else told
        return f"{told}; last step {last_step} had {last_loss:.4f}"


class BestRecalled(TrainerCallback):
    """Tells a Trainer that goes on where the best checkpoint lies now."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """`warn` is called on rank 0 where the best checkpoint is lost."""
        self._warn = warn

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Take `evaluate_every` from the recipe: a resumed Trainer takes it from the checkpoint."""
        if args.eval_steps:
            state.eval_steps = args.eval_steps
        forget_if_lost(state, Path(args.output_dir), self._warn)


def forget_if_lost(state: TrainerState, folder: Path, warn: Callable[[str], None]) -> None:
    """Point `state` to the best checkpoint in `folder`, or let it forget one that is damaged or gone, which is told.

    Every rank has to call this.
    """
    best = BestStep.of(state)
    if best is None:
        return
    checkpoint = checkpoint_path(folder, best.step)
    state.best_model_checkpoint = str(checkpoint)
    damage = damage_of(checkpoint) if ranks.is_main() else None
    if not ranks.largest(int(damage is not None)):
        return
    state.best_global_step = state.best_metric = state.best_model_checkpoint = None
    if ranks.is_main():
        warn(
            f"{checkpoint.name}, the best so far by its held-out loss ({best.held_out_loss:.4f}), is lost: {damage}; "
            "only later steps can be the best now"
        )


def load_best(trainer: Any, zero_stage: int) -> None:
    """Fill the trainer's model with the weights of its best checkpoint. Every rank has to call this, after training.

    `zero_stage` is that of this job. The checkpoint may be of another number of ranks, which began the stage.
    """
    checkpoint = Path(trainer.state.best_model_checkpoint)
    facts = facts_of(checkpoint)
    way = way_of(facts, ranks.world_size(), zero_stage)
    if way is None:
        raise RunFailedError(
            f"{checkpoint} has the lowest held-out loss and was saved under ZeRO stage {facts.zero_stage}, which a job "
            f"under stage {zero_stage} cannot read; continue with -o parallel.zero_stage={facts.zero_stage}"
        )
    if way is Way.UNIVERSAL:
        universal.convert(checkpoint)
    if trainer.is_deepspeed_enabled:
        # It was set for the checkpoint that this process went on from, which may be of another form.
        trainer.model_wrapped._config.load_universal_checkpoint = way is Way.UNIVERSAL
    elif way is Way.UNIVERSAL:
        universal.load_weights(checkpoint, trainer.model)
        return
    trainer._load_best_model()
