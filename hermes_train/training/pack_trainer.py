"""TRL's SFT on packs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers.trainer_utils import unwrap_peft_model
from trl import SFTTrainer

from data_filters.errors import UserError
from hermes_train.chat.labels import IGNORED
from hermes_train.packing.dataset import attention_works
from hermes_train.training.compute.loss import add_labelled_loss, labelled_loss
from hermes_train.training.compute.mode_losses import ModeLosses
from hermes_train.training.ordered_batches import OrderedBatches
from hermes_train.training.pack_collator import PackCollator
from hermes_train.training.resume.whole_checkpoints import WholeCheckpoints
from hermes_train.training.watch.held_out import HeldOutLoss
from hermes_train.training.watch.watched_steps import WatchedSteps
from hermes_train.training.weights.lora import hold_in_float32


class PackTrainer(OrderedBatches, HeldOutLoss, WatchedSteps, WholeCheckpoints, SFTTrainer):
    """SFT on packs that are ready to be read, dealt so that the ranks have even work."""

    def __init__(self, *args: Any, data_collator: PackCollator | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_deepspeed_enabled:
            hold_in_float32(self.model)
        # TRL takes none of ours for rows without padding; this is its own, and more.
        self.data_collator = data_collator or PackCollator(self.processing_class.pad_token_id)
        if self.aux_loss_enabled:
            raise UserError(
                f"{self.model.config.model_type} is a mixture of experts with a loss that balances them, which packs "
                "are not trained with; take a dense base model"
            )
        add_labelled_loss(unwrap_peft_model(self.model))
        # `compute_loss` divides by the labels of the whole global batch, whatever the model's own forward takes.
        self.model_accepts_loss_kwargs = True
        self._mode_losses = ModeLosses(self.accelerator)

    def _works(self, dataset: Dataset) -> np.ndarray:
        return attention_works(dataset)

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> torch.Tensor:
        """Return the labelled tokens of the global batch: of all micro-batches and ranks, at least 1.

        Not the Trainer's own count: that is off where ranks share a pack, each holding a part of its labels.
        """
        # A document's first label is ignored already, so labels count alike before and after their shift.
        labels = (batch["labels" if "labels" in batch else "shift_labels"] for batch in batch_samples)
        own = sum((part != IGNORED).sum().to(device) for part in labels)
        return self.accelerator.reduce(torch.as_tensor(own, device=device), "sum").clamp(min=1)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean negative log-likelihood over the labelled tokens of the global batch.

        This micro-batch's share of it, times the number of ranks: the average over ranks that follows the backward
        pass divides by that once more.
        """
        if return_outputs or num_items_in_batch is None:
            raise NotImplementedError(
                "packs are trained by the labels of their global batch; `prediction_step` scores those held out"
            )
        modes = inputs.pop("modes")
        loss = labelled_loss(model, inputs)
        self._mode_losses.add(loss.token_losses, modes.flatten()[loss.positions])
        return loss.total * self.accelerator.num_processes / num_items_in_batch

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step's figures, with the losses of each mode beside the loss of all."""
        if "loss" in logs:
            logs |= self._mode_losses.take()
        super().log(logs, start_time)
