"""Ranks that compute slower than the others, and data that comes too late.

Under ZeRO all ranks take the same time for a step, since each waits for the slowest. What tells them apart is work
without communication: some linear layers in the middle of the model, timed from when their weights are there to when
their output is. Packs have one shape, so every rank does the same work there.
"""

from __future__ import annotations

import socket
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from hermes_train.training import ranks
from hermes_train.training.watch.step_timing import Moment, StepTimes, moment, seconds_between

WINDOW_STEPS = 10
"""Steps after which the ranks compare; one window's figure is the mean over them."""
SLOW_RATIO = 1.25
"""A rank is slow in a window when it takes so many times the median of the others ..."""
SLOW_WINDOWS = 3
"""... and is told of when it was slow in so many windows on end."""
DATA_SHARE = 0.1
"""Share of a window's time that may go in waiting for data."""

_PROBED_LAYERS = 8


@dataclass(frozen=True)
class SlowRank:
    """A rank, and how many times the median of the others it takes."""

    rank: int
    ratio: float


@dataclass
class PaceWatch:
    """Finds the ranks that are slow window after window; one that is told of is told of again only after it was not."""

    windows: dict[int, int] = field(default_factory=dict)

    def judge(self, seconds: Sequence[float]) -> list[SlowRank]:
        """Return the ranks to tell of, from the time that each took for the same work in the window just over."""
        told = []
        for rank, own in enumerate(seconds):
            others = [*seconds[:rank], *seconds[rank + 1 :]]
            usual = statistics.median(others) if others else own
            if usual <= 0 or own <= SLOW_RATIO * usual:
                self.windows.pop(rank, None)
                continue
            self.windows[rank] = self.windows.get(rank, 0) + 1
            if self.windows[rank] == SLOW_WINDOWS:
                told.append(SlowRank(rank, own / usual))
        return told


class ComputeProbe:
    """Times some linear layers in the middle of a model, forward, for every token."""

    def __init__(self, model: torch.nn.Module, on_gpu: bool) -> None:
        """Hang hooks on the layers. Under ZeRO-3 this has to come after DeepSpeed's hooks, which fetch the weights."""
        self._on_gpu = on_gpu
        self._spans: list[tuple[Moment, Moment]] = []
        self._tokens = 0
        self._entered: Moment = None
        linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        first = max(0, (len(linear) - _PROBED_LAYERS) // 2)
        for module in linear[first : first + _PROBED_LAYERS]:
            module.register_forward_pre_hook(self._enter)
            # Before DeepSpeed's, which gives the weights back.
            module.register_forward_hook(self._leave, prepend=True)

    def seconds_per_token(self) -> float:
        """Return the mean since this was last asked; 0.0 where nothing ran."""
        seconds = sum(seconds_between(start, end) for start, end in self._spans)
        tokens = self._tokens
        self._spans.clear()
        self._tokens = 0
        return seconds / tokens if tokens else 0.0

    def _enter(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        self._entered = moment(self._on_gpu)

    def _leave(self, module: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        self._spans.append((self._entered, moment(self._on_gpu)))
        self._tokens += output.shape[:-1].numel()


class Pace:
    """Compares the ranks every WINDOW_STEPS steps and warns of slow ranks and slow data."""

    def __init__(self, model: torch.nn.Module, on_gpu: bool, warn: Callable[[str], None]) -> None:
        """Every rank has to call this; `warn` is called on rank 0."""
        self._probe = ComputeProbe(model, on_gpu)
        self._warn = warn
        self._watch = PaceWatch()
        self._hosts = ranks.gathered_text(socket.gethostname())
        self._times: list[StepTimes] = []
        self._told_of_data = False

    def after_step(self, times: StepTimes) -> None:
        """Take a step's times into account; every rank has to call this after each step."""
        self._times.append(times)
        if len(self._times) < WINDOW_STEPS:
            return
        waited = sum(step.data for step in self._times) / max(sum(step.whole for step in self._times), 1e-9)
        self._times.clear()
        table = ranks.gathered([self._probe.seconds_per_token(), waited])
        if ranks.is_main():
            self._tell_of_ranks([row[0] for row in table])
            self._tell_of_data([row[1] for row in table])

    def _tell_of_ranks(self, seconds: Sequence[float]) -> None:
        for slow in self._watch.judge(seconds):
            self._warn(
                f"rank {slow.rank} on {self._hosts[slow.rank]} computes {slow.ratio:.2f} times as long as the others, "
                f"in {SLOW_WINDOWS} windows of {WINDOW_STEPS} steps on end, and they wait for it: look at its clocks, "
                "its temperature and what else runs there"
            )

    def _tell_of_data(self, shares: Sequence[float]) -> None:
        worst = max(range(len(shares)), key=shares.__getitem__)
        if shares[worst] > DATA_SHARE and not self._told_of_data:
            self._told_of_data = True
            self._warn(
                f"rank {worst} on {self._hosts[worst]} spent {shares[worst]:.0%} of {WINDOW_STEPS} steps waiting for "
                "data; is the run's folder on a slow disk?"
            )
