"""The loss on documents that are not trained, taken while a stage trains and without a trace in its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers.trainer_utils import EvalLoopOutput

from hermes_train.training.compute.loss import labelled_loss
from hermes_train.training.compute.mode_losses import ModeLosses


class HeldOutLoss:
    """A mix-in for Trainers of packs, before them in the order of classes: their own evaluation, with our loss.

    The loss is the mean over all labelled tokens of the held-out packs, whatever the split into ranks and batches. A
    mean of the batches' means, which the Trainer takes, weighs the tokens of a batch with few labels more.
    """

    accelerator: Any
    args: Any
    control: Any
    state: Any
    _shares: Any
    _held_out_losses: ModeLosses

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the held-out losses, as the Trainer names them; the random numbers to come stay as they were."""
        with random_numbers_kept(self.args.device):
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)  # type: ignore[misc]  # the Trainer's
        return metrics

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Go through the held-out packs. Returns their losses: {"eval_loss": ..., "eval_loss_think": ..., ...}."""
        self._held_out_losses = ModeLosses(self.accelerator)
        output: EvalLoopOutput = super().evaluation_loop(*args, **kwargs)  # type: ignore[misc]  # the Trainer's
        losses = self._held_out_losses.take()
        output.metrics.update({f"eval_{name}": value for name, value in losses.items()})
        output.metrics["eval_loss"] = mean_of_modes(losses)
        return output

    def prediction_step(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        """Add up the losses of a batch; the Trainer, which would average them, is given none."""
        inputs = self._prepare_inputs(inputs)  # type: ignore[attr-defined]  # the Trainer's
        modes = inputs.pop("modes")
        with torch.no_grad(), self.compute_loss_context_manager():  # type: ignore[attr-defined]  # the Trainer's
            loss = labelled_loss(model, inputs)
        self._held_out_losses.add(loss.token_losses, modes.flatten()[loss.positions])
        return None, None, None

    def _get_eval_sampler(self, eval_dataset: Dataset) -> list[int]:
        """Return the rows in order, each micro-batch once for each of the ranks that share it."""
        batches = np.arange(len(eval_dataset)).reshape(-1, self.args.eval_batch_size)
        rows: list[int] = batches.repeat(self._shares(), axis=0).ravel().tolist()
        return rows

    def _determine_best_metric(self, *args: Any, **kwargs: Any) -> bool:
        """Say whether this step is the best so far. One that is not saved cannot be gone back to, and is none; nor is
        one that only a signal saves, which the unbroken run would not go back to."""
        step = self.state.global_step
        is_planned = step % self.args.save_steps == 0 or step >= self.state.max_steps
        if not (self.control.should_save and is_planned):
            return False
        is_best: bool = super()._determine_best_metric(*args, **kwargs)  # type: ignore[misc]  # the Trainer's
        return is_best


def mean_of_modes(losses: dict[str, float]) -> float:
    """Return the mean over the labelled tokens of all modes, of what `ModeLosses.take` gives."""
    counts = {
        name.removeprefix("label_tokens_"): count for name, count in losses.items() if "label_tokens" in name
    }
    total = sum(losses[f"loss_{mode}"] * count for mode, count in counts.items() if count)
    return total / sum(counts.values())


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Put PyTorch's random numbers back after the block: a data loader draws one when it begins."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
