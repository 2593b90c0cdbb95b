"""Which attention path a run takes, and what is to be said of it."""

from __future__ import annotations

import torch
from transformers.utils import (
    is_flash_attn_2_available,
    is_flash_attn_3_available,
    is_flash_attn_4_available,
)

from data_filters.errors import UserError
from hermes_train.training.compute.varlen import NAME as VARLEN
from hermes_train.training.compute.varlen import register_varlen

register_varlen()

_PACKAGES = {
    "flash_attention_2": ("flash-attn", is_flash_attn_2_available),
    "flash_attention_3": ("flash-attn-3", is_flash_attn_3_available),
    "flash_attention_4": ("flash-attn-4", is_flash_attn_4_available),
}
"""Paths that need a package of their own, with the way to ask for it. All others come with PyTorch."""

_BEST_BY_GENERATION = {
    8: ("flash_attention_2",),
    9: ("flash_attention_3", "flash_attention_4", "flash_attention_2"),
    10: ("flash_attention_4", "flash_attention_2"),
}
"""What to look for, best first, by the GPU's compute capability: Ampere, Hopper, Blackwell and later."""

_OLDEST_FOR_VARLEN = 8


def choose_attention(wanted: str, precision: str = "bf16") -> str:
    """Return the attention path to use, by transformers' name. Every path named here keeps packed documents apart.

    `auto` is the FlashAttention that fits the GPU where one is installed, else PyTorch's varlen, on a CPU too; float32
    on a GPU is known to neither and takes SDPA. Raises UserError for a path whose package is missing.
    """
    if wanted != "auto":
        _require_package(wanted)
        return wanted
    if not torch.cuda.is_available():
        return VARLEN
    generation = torch.cuda.get_device_capability()[0]
    if precision == "fp32" or generation < _OLDEST_FOR_VARLEN:
        return "sdpa"
    best = _BEST_BY_GENERATION[min(generation, max(_BEST_BY_GENERATION))]
    return next((name for name in best if _PACKAGES[name][1]()), VARLEN)


def _require_package(name: str) -> None:
    if name not in _PACKAGES:
        return
    package, is_available = _PACKAGES[name]
    # FlashAttention 2 and 3 may also come from the Hub, through the package `kernels`.
    if not (is_available() or (name != "flash_attention_4" and is_available(kernels_fallback_ok=True))):
        raise UserError(
            f"model.attention is {name}, but this machine has no GPU with the package {package}; install it or take "
            "auto"
        )


def attention_note(name: str) -> str:
    """Return what the log says of a path."""
    if name not in ("sdpa", "eager"):
        return f"attention: {name}"
    cost = (
        "builds a mask of a pack's length squared, 268 million entries for 16,384 tokens"
        if torch.cuda.is_available()
        else "also computes what its mask hides"
    )
    return f"attention: {name}, which {cost}; model.attention varlen does not"
