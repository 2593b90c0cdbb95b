"""Liger's kernels for norms, rotary positions and gated feed-forward layers, where they are installed."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.utils import is_liger_kernel_available

from data_filters.errors import UserError

_LIGER = {
    "rope": True,
    "rms_norm": True,
    "swiglu": True,
    # The loss is ours: over labelled positions alone, with the losses of single tokens at hand.
    "cross_entropy": False,
    "fused_linear_cross_entropy": False,
}


def choose_kernels(wanted: str) -> str:
    """Return `liger` or `torch`. `auto` is Liger on a GPU where it is installed. Raises UserError."""
    has_liger = torch.cuda.is_available() and is_liger_kernel_available()
    if wanted == "auto":
        return "liger" if has_liger else "torch"
    if wanted == "liger" and not has_liger:
        raise UserError(
            "kernels is liger, but this machine has no GPU with the package liger-kernel; install it or take auto"
        )
    return wanted


def use_kernels(model: PreTrainedModel, kernels: str) -> None:
    """Let the model compute with the kernels named. Raises UserError for a family that Liger does not know."""
    if kernels == "torch":
        return
    from liger_kernel.transformers.monkey_patch import (
        MODEL_TYPE_TO_APPLY_LIGER_FN,
        _apply_liger_kernel_to_instance,
    )

    if model.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise UserError(f"liger-kernel knows no kernels for {model.config.model_type}; take kernels torch")
    _apply_liger_kernel_to_instance(model=model, **_LIGER)
