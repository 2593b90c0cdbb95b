"""The figures of each step: to metrics.jsonl, to the progress bar, to whoever else listens."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.training.compute.architecture import Architecture
from hermes_train.training.compute.flops import Trained, peak_flops, step_flops
from hermes_train.training.ranks import is_main
from hermes_train.training.step_data import StepData
from hermes_train.training.watch.metrics import held_out_figures, metrics_line
from hermes_train.training.watch.step_timing import StepClock, StepTimes

Listener = Callable[[Mapping[str, Any]], None]
"""Takes a line of metrics.jsonl."""


@dataclass(frozen=True)
class Work:
    """What the operations of a step are counted and compared by. `peak` is that of all ranks together, or None."""

    architecture: Architecture
    trained: Trained
    peak: float | None

    @classmethod
    def of_ranks(cls, architecture: Architecture, trained: Trained, ranks: int) -> Work:
        """Return the work of training on this machine's kind of device."""
        peak = peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
        return cls(architecture, trained, peak * ranks if peak else None)

    def speed(self, document_lengths: np.ndarray, labelled_tokens: int, seconds: float) -> dict[str, float]:
        """Return operations per second and, where the device's peak is known, the share of it (MFU)."""
        achieved = step_flops(self.architecture, document_lengths, self.trained, labelled_tokens) / seconds
        figures = {"flops_per_second": float(f"{achieved:.4g}")}
        return figures | {"mfu": round(achieved / self.peak, 4)} if self.peak else figures


def peak_memory() -> int:
    """Return the most bytes that this process has held so far: of the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class StepFigures(TrainerCallback):
    """Puts a step's figures together when the Trainer logs it, and hands them on: at once, or with the held-out loss
    where the step is evaluated."""

    def __init__(
        self,
        clock: StepClock,
        data: StepData,
        work: Work,
        on_every_rank: Callable[[StepTimes], None],
        listeners: Sequence[Listener],
    ) -> None:
        """`on_every_rank` takes each rank's own times; `listeners` are called on rank 0."""
        self._clock = clock
        self._data = data
        self._work = work
        self._on_every_rank = on_every_rank
        self._listeners = listeners
        self._waiting: dict[str, Any] | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hand on the step's line, unless its evaluation is to follow."""
        if not logs or "loss" not in logs:
            return
        times = self._clock.end_step()
        if is_main():
            self._waiting = self._line(state.global_step, logs, times)
            if not control.should_evaluate:
                self.hand_on()
        self._on_every_rank(times)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Hand on the step's line with its held-out loss."""
        self.hand_on(held_out_figures(metrics or {}))

    def hand_on(self, more: Mapping[str, Any] | None = None) -> None:
        """Hand on a line that waits, with `more` figures."""
        line, self._waiting = self._waiting, None
        if line is not None:
            for listener in self._listeners:
                listener(line | dict(more or {}))

    def _line(self, step: int, logs: Mapping[str, Any], times: StepTimes) -> dict[str, Any]:
        tokens = self._data.step_tokens(step - 1)
        line = metrics_line(step, logs, tokens, times)
        _, labelled = tokens
        speed = self._work.speed(self._data.step_lengths(step - 1), labelled, times.whole)
        return line | speed | {"peak_memory": peak_memory()}
