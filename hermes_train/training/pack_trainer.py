"""TRL's SFT on packs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import SFTTrainer

from hermes_train.chat.labels import IGNORED
from hermes_train.packing.dataset import attention_works
from hermes_train.training.ordered_batches import OrderedBatches


class PackTrainer(OrderedBatches, SFTTrainer):
    """SFT on packs that are ready to be read, dealt so that the ranks have even work."""

    def _works(self, dataset: Dataset) -> np.ndarray:
        return attention_works(dataset)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean negative log-likelihood over the labelled tokens of the global batch.

        On a GPU that is TRL's fused head. Its fallback for CPUs scores every position, labelled or not, and takes
        about as long as the rest of a small model's step; here the head sees the labelled positions alone.
        """
        if return_outputs or inputs["input_ids"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total = labelled_loss(model, inputs)
        # The average over ranks that follows the backward pass would divide by their number once more.
        return total * self.accelerator.num_processes / num_items_in_batch


def labelled_loss(model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    """Return the summed negative log-likelihood of the labels in a batch of one row, float32 scalar.

    `inputs` holds `labels` (1, tokens), IGNORED where there is none, and what the model's forward takes.
    """
    next_tokens = inputs["labels"][0, 1:]
    positions = (next_tokens != IGNORED).nonzero().flatten()
    without_labels = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**without_labels, use_cache=False, logits_to_keep=positions).logits[0]
    return torch.nn.functional.cross_entropy(logits.float(), next_tokens[positions], reduction="sum")
