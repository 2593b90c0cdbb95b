"""What happens beside the steps of a training stage: figures, progress, marks on whole checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.runs import RunFailedError
from hermes_train.training.checkpoints import mark_complete
from hermes_train.training.metrics import append_metrics, metrics_line
from hermes_train.training.ranks import is_main, wait_for_all

StepTokens = Callable[[int], tuple[int, int]]
"""Takes a step, counted from 0; returns its (tokens, labelled tokens)."""


class NonFiniteLossError(RunFailedError):
    """The loss is no number any more; going on would only spoil the weights."""


class StepFigures(TrainerCallback):
    """Writes a line of metrics for each step, and stops a run whose loss is not finite."""

    def __init__(self, path: Path, step_tokens: StepTokens) -> None:
        self._path = path
        self._step_tokens = step_tokens
        self._started = time.perf_counter()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the step's clock."""
        self._started = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the step's line. Raises NonFiniteLossError."""
        if not logs or "loss" not in logs:
            return
        seconds = time.perf_counter() - self._started
        if is_main():
            tokens = self._step_tokens(state.global_step - 1)
            append_metrics(self._path, metrics_line(state.global_step, logs, tokens, seconds))
        if not math.isfinite(logs["loss"]):
            raise NonFiniteLossError(
                f"the loss at step {state.global_step} is {logs['loss']}; lower the learning rate or look at the rows "
                f"of that step; {self._path} has the steps before"
            )


class CheckpointMark(TrainerCallback):
    """Marks a checkpoint as whole once every rank has saved its part."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wait for the other ranks, then mark."""
        wait_for_all()
        if is_main():
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)


class ProgressBar(TrainerCallback):
    """A bar with the loss and the time left; plain lines where the output is not a terminal."""

    def __init__(self, stage: str, console: Console) -> None:
        self._console = console
        self._stage = stage
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )
        self._task = self._progress.add_task(stage, total=None, figures="")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the bar, from the step at which the run goes on."""
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)
        if is_main() and self._console.is_terminal:
            self._progress.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Move the bar."""
        if not logs or "loss" not in logs:
            return
        self._progress.update(self._task, completed=state.global_step, figures=f"loss {logs['loss']:.4f}")
        tenth = max(1, state.max_steps // 10)
        if is_main() and not self._console.is_terminal and state.global_step % tenth == 0:
            self._console.print(
                f"{self._stage} {state.global_step}/{state.max_steps} loss {logs['loss']:.4f}"
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the bar away."""
        self._progress.stop()
