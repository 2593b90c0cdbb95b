"""A bar with the loss, the speed and the time left; plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
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

from hermes_train.training.ranks import is_main

LINES = 10
"""Plain lines over a whole stage."""


class ProgressBar(TrainerCallback):
    """Shows how far a stage is, on rank 0."""

    def __init__(self, stage: str, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._steps = self._first = 0
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
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
        self._steps, self._first = state.max_steps, state.global_step
        self._started = time.monotonic()
        self._progress.update(self._task, total=self._steps, completed=self._first)
        if is_main() and self._console.is_terminal:
            self._progress.start()

    def show(self, line: Mapping[str, Any]) -> None:
        """Show a step by its line of metrics.jsonl."""
        step, told = line["step"], _told(line)
        self._progress.update(self._task, completed=step, figures=told)
        is_shown = "held_out_loss" in line or step % max(1, self._steps // LINES) == 0
        if self._console.is_terminal or not is_shown:
            return
        self._console.print(
            f"{self._stage} {step}/{self._steps} {told}, {self._left(step)} left", highlight=False
        )

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def _left(self, step: int) -> timedelta:
        seconds = (time.monotonic() - self._started) / (step - self._first)
        return timedelta(seconds=round(seconds * (self._steps - step)))


def _told(line: Mapping[str, Any]) -> str:
    parts = [f"loss {line['loss']:.4f}", f"{line['tokens_per_second']:,.0f} tokens/s"]
    if "held_out_loss" in line:
        parts.insert(1, f"held-out loss {line['held_out_loss']:.4f}")
    if "mfu" in line:
        parts.append(f"MFU {line['mfu']:.1%}")
    return ", ".join(parts)
