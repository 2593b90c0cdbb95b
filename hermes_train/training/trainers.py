"""TRL's trainers, subclassed for the one thing they cannot be told: the order of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl import DPOTrainer, SFTTrainer

from hermes_train.chat.labels import IGNORED
from hermes_train.packing.dataset import Dealing, StepSampler, attention_works


class _OrderedBatches:
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


class PackTrainer(_OrderedBatches, SFTTrainer):
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
