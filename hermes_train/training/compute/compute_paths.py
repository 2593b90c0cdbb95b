"""The attention path and the kernels that a run computes with: chosen, tried, told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig

from hermes_train.training.compute.attention import attention_note, choose_attention
from hermes_train.training.compute.attention_probe import require_documents_apart
from hermes_train.training.compute.kernels import choose_kernels


@dataclass(frozen=True)
class ComputePaths:
    """What was chosen, by the names that the recipe has for it."""

    attention: str
    kernels: str

    def require_documents_apart(self, model: Path, precision: str, device: torch.device) -> None:
        """Raise UserError where packs of the model in a folder would not give the losses of their documents."""
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        require_documents_apart(config, self.attention, self.kernels, precision, device)

    def note(self) -> str:
        """Return a line for the log."""
        return f"{attention_note(self.attention)}; kernels: {self.kernels}"


def choose_paths(attention: str, kernels: str, precision: str) -> ComputePaths:
    """Return what a recipe's `model.attention` and `kernels` come to on this machine. Raises UserError."""
    return ComputePaths(choose_attention(attention, precision), choose_kernels(kernels))
