"""Rewards of thinking and of direct pairs, apart."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from hermes_train.packing.mixture import MODES


class ModeRewards:
    """Adds up rewards by mode over the micro-batches of a step; one small sum over ranks gives the figures."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._sums = torch.zeros(3, len(MODES), dtype=torch.float64, device=accelerator.device)

    def add(self, chosen: Tensor, rejected: Tensor, modes: Tensor) -> None:
        """Add one micro-batch: the rewards of each pair's answers and its mode as its place in MODES, all (pairs,)."""
        margins = (chosen - rejected).double()
        for line, values in zip(self._sums, (margins, margins > 0, torch.ones_like(margins)), strict=True):
            line.index_add_(0, modes, values.double())

    def take(self) -> dict[str, float]:
        """Return {"rewards/margins_think": ..., "rewards/accuracies_think": ..., ...} of all ranks, and begin anew.

        A mode without a pair has no figures. Every rank has to call this.
        """
        margins, wins, counts = self._accelerator.reduce(self._sums.clone(), "sum").tolist()
        self._sums.zero_()
        figures: dict[str, float] = {}
        for mode, margin, won, count in zip(MODES, margins, wins, counts, strict=True):
            if count:
                figures[f"rewards/margins_{mode}"] = margin / count
                figures[f"rewards/accuracies_{mode}"] = won / count
        return figures
