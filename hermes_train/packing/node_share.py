"""What the ranks of one node read of the packs: since the packs of step k are a function of (seed, k), it is known
before the first step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hermes_train.packing.dataset import Dealing, dealt_rows, step_packs


@dataclass(frozen=True)
class NodeShare:
    """The packs that are dealt to the ranks of a node from the step `first` up to the step before `end`.

    Steps are counted from 0 over all epochs. `copies` ranks share each micro-batch, and `dealing` counts them as one,
    as in StepSampler.
    """

    seed: int
    dealing: Dealing
    copies: int
    ranks: range
    first: int
    end: int

    def packs(self, works: np.ndarray) -> np.ndarray:
        """Return the numbers of the packs, int64, ascending; `works` are the attention works of all packs."""
        takers = sorted({rank // self.copies for rank in self.ranks})
        steps = range(self.first, self.end)
        if len(takers) == self.dealing.ranks:
            # Who takes which makes no difference, and dealing thousands of steps takes a while.
            dealt = [step_packs(self.seed, step, self.dealing.global_batch, len(works)) for step in steps]
        else:
            dealt = [
                dealt_rows(self.seed, step, self.dealing, len(works), works)[:, takers].ravel()
                for step in steps
            ]
        return np.unique(np.concatenate(dealt)) if dealt else np.empty(0, np.int64)
