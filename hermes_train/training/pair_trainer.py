"""TRL's DPO on preference pairs."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import DPOTrainer

from hermes_train.training.ordered_batches import OrderedBatches


class PairTrainer(OrderedBatches, DPOTrainer):
    """DPO on pairs that are tokenised already."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset
