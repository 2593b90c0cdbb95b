"""The order of the data, the one thing that TRL's trainers cannot be told."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import Sampler

from hermes_train.packing.dataset import Dealing, StepSampler


class OrderedBatches:
    """The batch at step k is a function of (seed, k): a resumed run sees what the unbroken one would have."""

    accelerator: Any
    args: Any
    state: Any
    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        shares = self._shares()
        dealing = Dealing(
            self.args.world_size // shares,
            self.args.train_batch_size,
            self.args.gradient_accumulation_steps,
        )
        return StepSampler(
            len(dataset),
            self.args.data_seed,
            dealing,
            # Asked anew at each epoch: on resume the Trainer puts another state in this one's place.
            next_step=lambda: self.state.global_step,
            works=self._works(dataset),
            copies=shares,
        )

    def _shares(self) -> int:
        """Return how many ranks share a pack."""
        parallelism = self.args.parallelism_config
        return parallelism.sp_size if parallelism else 1

    def get_sp_size(self) -> int:
        """Return 1: the sampler deals shared packs to each of their ranks, so that batches count as everywhere."""
        return 1

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        # For the same reason nothing is to be passed around between the ranks that share a pack.
        self.accelerator.deepspeed_ulysses_dl_adapter = lambda loader, model: loader
        return super()._prepare_for_training(*args, **kwargs)  # type: ignore[misc]  # the Trainer's

    def _works(self, dataset: Dataset) -> np.ndarray | None:
        return None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: the export stage writes the model's card."""
