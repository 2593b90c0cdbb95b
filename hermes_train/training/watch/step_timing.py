"""Where a training step's time goes, told by marks that cost nothing while the step runs.

On a GPU a mark is an event in the stream: kernels are timed where they run, and nothing waits. Elsewhere it is the
clock. A step's marks are read once, when the step is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")


class Phase(StrEnum):
    """What a step does."""

    DATA = "data"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step by phase, and of the whole step, in which the ranks also wait for one another."""

    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0
    whole: float = 0.0

    def by_phase(self) -> dict[str, float]:
        """Return the seconds of each phase by its name, to a tenth of a millisecond."""
        return {str(phase): round(getattr(self, phase), 4) for phase in Phase}


Moment = Any
"""A `torch.cuda.Event` on a GPU, seconds of the clock elsewhere."""


def moment(on_gpu: bool) -> Moment:
    """Return now, in the stream's order on a GPU."""
    if not on_gpu:
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(start: Moment, end: Moment) -> float:
    """Return the seconds between two moments of a kind; waits for the GPU to reach the second."""
    if isinstance(start, float):
        return float(end - start)
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


class StepClock:
    """Times one step after another. A phase within a phase stops the outer one's time."""

    def __init__(self, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._marks: list[tuple[Phase | None, Moment]] = []
        self._phase: Phase | None = None
        self._started = time.perf_counter()

    def begin_step(self) -> None:
        """Start a step; what was not read of the one before is dropped."""
        self._marks.clear()
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Count the block's time as the phase's."""
        outer = self._phase
        self._mark(phase)
        try:
            yield
        finally:
            self._mark(outer)

    def timed(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items; the time until each comes counts as the wait for data."""
        while True:
            with self.phase(Phase.DATA):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def end_step(self) -> StepTimes:
        """Return where the step's time went, and forget it."""
        totals = dict.fromkeys(Phase, 0.0)
        for (phase, start), (_, end) in pairwise(self._marks):
            if phase is not None:
                totals[phase] += seconds_between(start, end)
        self._marks.clear()
        by_name = {str(phase): seconds for phase, seconds in totals.items()}
        return StepTimes(**by_name, whole=time.perf_counter() - self._started)

    def _mark(self, phase: Phase | None) -> None:
        self._marks.append((phase, moment(self._on_gpu)))
        self._phase = phase
