"""Whether a loss can be gone on from: pure judgements, step by step."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

FEWEST_STEPS = 8
"""Steps that must be known before one can be called unusual."""


class StepHealth(StrEnum):
    """How a step's loss and gradient look."""

    SOUND = "sound"
    SPIKE = "spike"
    NON_FINITE = "non_finite"


@dataclass(frozen=True)
class Judgement:
    """The health of a step, and in words what it was told by."""

    health: StepHealth
    reason: str = ""


def is_finite(loss: float, grad_norm: float | None) -> bool:
    """Say whether both are numbers. A negative norm is not: DeepSpeed puts -1 for NaN and infinity."""
    return math.isfinite(loss) and (grad_norm is None or (math.isfinite(grad_norm) and grad_norm >= 0))


class LossWatch:
    """Judges each step's loss by those before it.

    A spike is a loss above the window's mean by `deviations` of its standard deviations and by the factor `ratio`: the
    first alone would call a flat curve's ripple a spike, the second alone a noisy curve's. A spike stays out of the
    window.
    """

    def __init__(self, window: int, deviations: float, ratio: float) -> None:
        self._losses: deque[float] = deque(maxlen=window)
        self._deviations = deviations
        self._ratio = ratio

    def judge(self, loss: float, grad_norm: float | None) -> Judgement:
        """Return how the next step looks."""
        if not is_finite(loss, grad_norm):
            norm = "" if grad_norm is None else f", its gradient norm {grad_norm}"
            return Judgement(StepHealth.NON_FINITE, f"the loss is {loss}{norm}")
        if len(self._losses) >= FEWEST_STEPS:
            mean, spread = statistics.fmean(self._losses), statistics.pstdev(self._losses)
            limit = max(mean + self._deviations * spread, mean * self._ratio)
            if loss > limit:
                before = f"the {len(self._losses)} steps before have {mean:.4g} +- {spread:.2g}"
                return Judgement(StepHealth.SPIKE, f"the loss is {loss:.4g}, and {before}")
        self._losses.append(loss)
        return Judgement(StepHealth.SOUND)
