"""TRL's trainers, subclassed for the one thing they cannot be told: the order of the data."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl import DPOTrainer, SFTTrainer

from hermes_train.packing.dataset import EpochSampler


class _OrderedBatches:
    """The batch at step k is a function of (seed, epoch, k): a resumed run sees what the unbroken one would have."""

    args: Any
    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return EpochSampler(self.args.data_seed, len(dataset))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: the export stage writes the model's card."""


class PackTrainer(_OrderedBatches, SFTTrainer):
    """SFT on packs that are ready to be read."""


class PairTrainer(_OrderedBatches, DPOTrainer):
    """DPO on pairs that are tokenised already."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def whole_state(trainer: SFTTrainer | DPOTrainer, dtype: torch.dtype) -> dict[str, torch.Tensor] | None:
    """Return the weights on rank 0, gathered from all ranks, in `dtype` and on CPU; None on the other ranks.

    Every rank has to call this: under ZeRO-3 each holds a part.
    """
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return None
    return {name: tensor.detach().to("cpu", dtype) for name, tensor in state.items()}
