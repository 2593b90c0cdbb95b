"""The loss of thinking and of direct documents, apart."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from hermes_train.packing.mixture import MODES


class ModeLosses:
    """Adds up token losses by mode over the micro-batches of a step; one small sum over ranks gives the figures."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._sums = torch.zeros(2, len(MODES), dtype=torch.float64, device=accelerator.device)

    def add(self, token_losses: Tensor, modes: Tensor) -> None:
        """Add one micro-batch: each labelled token's loss, and its mode as its place in MODES, both (tokens,)."""
        modes = modes.long()
        self._sums[0].index_add_(0, modes, token_losses.double())
        self._sums[1].index_add_(0, modes, torch.ones_like(token_losses, dtype=torch.float64))

    def take(self) -> dict[str, float]:
        """Return {"loss_think": ..., "label_tokens_think": ..., ...} of all ranks, and begin anew.

        A mode without a labelled token has no loss. Every rank has to call this.
        """
        sums, counts = self._accelerator.reduce(self._sums.clone(), "sum").tolist()
        self._sums.zero_()
        figures: dict[str, float] = {}
        for mode, total, count in zip(MODES, sums, counts, strict=True):
            if count:
                figures[f"loss_{mode}"] = total / count
            figures[f"label_tokens_{mode}"] = int(count)
        return figures
