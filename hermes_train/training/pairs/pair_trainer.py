"""TRL's DPO on packed rows of preference pairs, with reference log-probabilities that are known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from trl import DPOTrainer

from hermes_train.training.pairs.mode_rewards import ModeRewards
from hermes_train.training.pairs.pair_batches import PairRows, collate_row
from hermes_train.training.pairs.pair_loss import NOT_MEASURED, AnswersOfRow, add_token_log_probabilities
from hermes_train.training.pairs.references import References
from hermes_train.training.resume.whole_checkpoints import WholeCheckpoints
from hermes_train.training.watch.watched_steps import WatchedSteps
from hermes_train.training.weights.lora import hold_in_float32


class PairTrainer(WatchedSteps, WholeCheckpoints, DPOTrainer):
    """DPO whose losses are TRL's, on rows laid out beforehand: a micro-batch is one row of pairs."""

    references: References
    """The log-probabilities of all pairs under the origin model; to be set before training begins."""

    def __init__(self, *, rows: PairRows, **settings: Any) -> None:
        super().__init__(train_dataset=rows.as_dataset(), data_collator=collate_row, **settings)
        if not self.is_deepspeed_enabled:
            hold_in_float32(self.model)
        add_token_log_probabilities(self.model.get_base_model() if is_peft_model(self.model) else self.model)
        self._weights: list[float] = list(self.loss_weights)
        self._mode_rewards = ModeRewards(self.accelerator)

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        # The references step has done it: TRL's own cache is not shared by ranks, and lost when it is cut short.
        return dataset

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        # The rows stand in the order in which they are dealt to the ranks, step after step.
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Return TRL's loss of a row: the mean over its pairs.

        All rows hold as many pairs, so that the mean over micro-batches and ranks, which the Trainer takes, is the mean
        over the pairs of the global batch.
        """
        if return_outputs:
            raise NotImplementedError(
                "pairs are for training; held-out rows are scored by the evaluate stage"
            )
        pairs, modes = inputs.pop("pairs"), inputs.pop("modes")
        of_row, of_step = inputs.pop("chosen_share").tolist()
        share = of_row / of_step
        # TRL's SFT term is a mean over the row's chosen tokens: made one over those of the global batch.
        self.loss_weights = [
            weight * share if loss == "sft" else weight
            for loss, weight in zip(self.loss_types, self._weights, strict=True)
        ]
        known = torch.from_numpy(self.references.sums)[pairs.cpu()].to(pairs.device)
        policy = AnswersOfRow(model)
        loss = super().compute_loss(
            policy, inputs | {"ref_chosen_logps": known[:, 0], "ref_rejected_logps": known[:, 1]}
        )
        rewards = self.beta * (policy.sums.view(2, -1) - known.T)
        self._mode_rewards.add(rewards[0], rewards[1], modes)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step's figures, with the rewards of each mode beside those of all pairs."""
        for name in NOT_MEASURED:
            self._metrics["train"].pop(name, None)
        if "loss" in logs:
            logs |= self._mode_rewards.take()
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: the export stage writes the model's card."""
