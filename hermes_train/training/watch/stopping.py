"""A run that is asked to stop ends after a step that is saved, on all ranks after the same one."""

from __future__ import annotations

import signal
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.training import ranks
from hermes_train.training.watch import signals
from hermes_train.training.watch.signals import StopSignal


def stop_if_asked(where: str) -> None:
    """Raise StopSignal on every rank when a signal has reached any; `where` is told. Every rank has to call this."""
    received = _asked()
    if received is not None:
        raise StopSignal(f"stopped by {received.name} {where}")


def _asked() -> signal.Signals | None:
    agreed = ranks.largest(signals.requested() or 0)
    return signal.Signals(agreed) if agreed else None


class StopWhenAsked(TrainerCallback):
    """Saves and stops after the step in which a signal reached any rank; signals reach ranks at different times."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The signal that stopped training, the same on all ranks."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop before the first step when the signal came while the model was loaded. Raises StopSignal."""
        stop_if_asked(f"before step {state.global_step + 1}")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let the Trainer save and stop."""
        self.received = _asked()
        if self.received is not None and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop without another step when the signal came during the save."""
        self.received = _asked()
        if self.received is not None:
            control.should_training_stop = True
