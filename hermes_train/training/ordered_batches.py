"""The order of the data, the one thing that TRL's trainers cannot be told."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import Sampler

from hermes_train.packing.dataset import Dealing, StepSampler


class OrderedBatches:
    """The batch at step k is a function of (seed, k): a resumed run sees what the unbroken one would have."""

    args: Any
    state: Any
    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        dealing = Dealing(
            self.args.world_size, self.args.train_batch_size, self.args.gradient_accumulation_steps
        )
        return StepSampler(
            len(dataset),
            self.args.data_seed,
            dealing,
            # Asked anew at each epoch: on resume the Trainer puts another state in this one's place.
            next_step=lambda: self.state.global_step,
            works=self._works(dataset),
        )

    def _works(self, dataset: Dataset) -> np.ndarray | None:
        return None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: the export stage writes the model's card."""
