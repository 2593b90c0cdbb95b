"""Low-rank adapters merged into the weights that they were trained on, a weight at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from hermes_train.training.weights.checkpoint_files import Checkpoint, read_tensor

_PREFIX = "base_model.model."
_DOWN, _UP = "lora_A.default.weight", "lora_B.default.weight"


def adapters_of(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the adapters of a PEFT model, by the names that they have in it."""
    return {name: parameter for name, parameter in model.named_parameters() if ".lora_" in name}


def hold_in_float32(model: torch.nn.Module) -> None:
    """Make what is trained its own float32 master, as it must be without DeepSpeed, which holds masters of its own.

    TRL casts the adapters of a quantised model to bfloat16, where most updates of 1e-4 of a weight round to nothing.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def merged(
    stored: Checkpoint, adapters: Mapping[str, torch.Tensor], scale: float, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of `stored` in `dtype`: each adapted weight becomes W + scale * B @ A, computed in float32.

    `stored` is the model that the adapters were trained on; W is read from its files, as it was before a quantisation
    for training. `adapters` have the names that PEFT gives them; `scale` is alpha / rank
    (https://arxiv.org/abs/2106.09685). Raises ValueError where an adapter has no weight.
    """
    left = set(adapters)
    for name, tensor in stored.tensors.items():
        weight = read_tensor(tensor)
        stem = _PREFIX + name.removesuffix("weight")
        if stem + _UP in adapters:
            left -= {stem + _UP, stem + _DOWN}
            update = adapters[stem + _UP].float() @ adapters[stem + _DOWN].float()
            weight = weight.float() + scale * update
        yield name, weight.to(dtype)
    if left:
        raise ValueError(
            f"{sorted(left)[0]} and {len(left) - 1} other adapters belong to no weight of {stored.folder}"
        )
