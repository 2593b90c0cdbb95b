"""The forward passes of the references step: the trainer's own model, before it is trained, on all ranks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import is_peft_model, send_to_device
from rich.console import Console
from trl import DPOTrainer
from trl.models import prepare_deepspeed
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from hermes_train.recipe.training_sections import DpoSection
from hermes_train.training.compute.kernels import choose_kernels
from hermes_train.training.pairs.pair_batches import PairData, collate_row
from hermes_train.training.pairs.pair_loss import answer_log_probabilities
from hermes_train.training.pairs.pair_plan import row_lengths, scoring_rows
from hermes_train.training.pairs.references import (
    ReferenceCache,
    ReferenceKey,
    References,
    ScorePairs,
    known_or_scored,
    model_digest,
)
from hermes_train.training.ranks import is_main


def reference_log_probabilities(
    trainer: DPOTrainer, data: PairData, dpo: DpoSection, origin: Path, folder: Path, console: Console
) -> References:
    """Return the log-probabilities of all pairs under the model in `origin`, which `trainer` holds and has not trained.

    What is known of them lies in `folder`. Every rank has to call this.
    """
    key = ReferenceKey(model_digest(origin, folder), data.fingerprint(), len(data), _compute(trainer, dpo))
    started = time.perf_counter()

    def tick(pairs: int) -> None:
        if is_main():
            seconds = time.perf_counter() - started
            console.print(f"reference log-probabilities {pairs}/{len(data)} pairs {seconds:.1f} s")

    capacity = dpo.micro_batch * 2 * dpo.max_length
    return known_or_scored(
        ReferenceCache(folder, key), lambda: _scoring(trainer, data, dpo.micro_batch, capacity), tick
    )


def _compute(trainer: DPOTrainer, dpo: DpoSection) -> str:
    """Return what the log-probabilities depend on beside the model and the pairs."""
    rounded = trainer.is_deepspeed_enabled or dpo.lora is not None
    weights = "bf16" if dpo.precision == "bf16" and rounded else "fp32"
    quantized = dpo.lora.quantize if dpo.lora else "none"
    # Other kernels round in another order: a policy that has not moved would not have its reference's numbers.
    paths = f"attention {trainer.model.config._attn_implementation}, kernels {choose_kernels(dpo.kernels)}"
    return f"computed in {dpo.precision}, weights in {weights if quantized == 'none' else quantized}, {paths}"


@contextmanager
def _scoring(trainer: DPOTrainer, data: PairData, micro_batch: int, capacity: int) -> Iterator[ScorePairs]:
    """Give what scores pairs with the model of a trainer that has not begun to train, adapters left out.

    Its weights are held, gathered and rounded as in training: under ZeRO by an engine without an optimizer. Rows have
    at most `capacity` tokens.
    """
    accelerator = trainer.accelerator
    unwrapped = trainer.model
    engine = prepare_deepspeed(unwrapped, accelerator) if trainer.is_deepspeed_enabled else None
    model = engine or unwrapped
    was_training = unwrapped.training
    unwrapped.eval()

    def score(pairs: np.ndarray) -> np.ndarray:
        rows = scoring_rows(data.lengths, pairs, accelerator.num_processes, micro_batch, capacity)
        lengths = row_lengths(data.lengths.tokens[rows].sum(axis=1))
        own = slice(accelerator.process_index, None, accelerator.num_processes)
        sums = torch.stack(
            [
                _row_sums(model, data, row, int(length), accelerator.device)
                for row, length in zip(rows[own], lengths[own], strict=True)
            ]
        )
        # By rank, then by row of the rank; rows were dealt to the ranks in turns.
        by_rank = accelerator.gather(sums).cpu().numpy().reshape(accelerator.num_processes, *sums.shape)
        found = np.empty((len(data), 2), np.float32)
        found[rows] = by_rank.swapaxes(0, 1).reshape(*rows.shape, 2)
        return found[pairs]

    try:
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(unwrapped, trainer.args.gradient_checkpointing_kwargs),
            use_adapter(unwrapped, None) if is_peft_model(unwrapped) else nullcontext(),
            accelerator.autocast(),
        ):
            yield score
    finally:
        unwrapped.train(was_training)
        if engine is not None:
            # Its hooks would gather every weight a second time in training.
            engine.destroy()


def _row_sums(
    model: torch.nn.Module, data: PairData, pairs: np.ndarray, length: int, device: torch.device
) -> torch.Tensor:
    """Return the sums of a row's pairs, float32 (pairs, 2)."""
    batch = send_to_device(collate_row([data.row(pairs, length)]), device)
    answers = batch["completion_mask"][:, 1:].bool()
    return answer_log_probabilities(model, batch["row"], answers).sum(dim=1).view(2, -1).T
