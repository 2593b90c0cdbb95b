"""Trained weights on their way to disk."""

from __future__ import annotations

import torch
from trl import DPOTrainer, SFTTrainer


def whole_state(trainer: SFTTrainer | DPOTrainer, dtype: torch.dtype) -> dict[str, torch.Tensor] | None:
    """Return the weights on rank 0, gathered from all ranks, in `dtype` and on CPU; None on the other ranks.

    Every rank has to call this: under ZeRO-3 each holds a part.
    """
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return None
    return {name: tensor.detach().to("cpu", dtype) for name, tensor in state.items()}
