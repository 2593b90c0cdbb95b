"""Low-rank adapters merged into plain weights, on the gathered state: the same on any number of ranks."""

from __future__ import annotations

import torch

_PREFIX = "base_model.model."


def merge_adapters(state: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """Return a plain model's state: each adapted weight becomes W + scale * B @ A, computed in float32.

    `state` is that of a PEFT model with one adapter; `scale` is alpha / rank (https://arxiv.org/abs/2106.09685).
    """
    merged: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
        if ".base_layer.weight" in name:
            stem = name.removesuffix("base_layer.weight")
            up, down = state[f"{stem}lora_B.default.weight"], state[f"{stem}lora_A.default.weight"]
            tensor = (tensor.float() + scale * up.float() @ down.float()).to(tensor.dtype)
        merged[plain] = tensor
    return merged
