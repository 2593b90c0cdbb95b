"""The finished model on its way to disk: a weight at a time, adapters merged, opened again before it counts.

No rank ever holds the whole model: under ZeRO-3 all ranks gather one weight, rank 0 writes it, and the next one comes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import torch
from transformers import AutoConfig

from data_filters.files import write_folder_whole
from hermes_train.recipe.training_sections import LoraSection
from hermes_train.training import ranks
from hermes_train.training.weights.checkpoint_files import open_checkpoint
from hermes_train.training.weights.lora import adapters_of, merged
from hermes_train.training.weights.model_files import SHARD_BYTES, TensorPlan, write_model_files
from hermes_train.training.weights.reopening import check_model

Named = Mapping[str, torch.nn.Parameter]

_NOTHING = ("", torch.empty(0))
"""What a rank is given that writes nothing."""


def save_trained(
    model: torch.nn.Module,
    origin: Path,
    destination: Path,
    dtype: torch.dtype,
    lora: LoraSection | None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write the trained model as a folder, whole or not at all, and open it again. Every rank has to call this.

    `origin` is the model that the stage started from: it gives config, tokenizer, template and generation config, and
    the weights beneath adapters. Raises RunFailedError where what was written is not what the config asks for.
    """
    values: Iterable[tuple[str, torch.Tensor]]
    if lora is None:
        parameters = dict(model.named_parameters())
        plan = [TensorPlan(name, shape_of(parameter), dtype) for name, parameter in parameters.items()]
        values = gathered(parameters, dtype)
    else:
        adapters = dict(gathered(adapters_of(model), torch.float32))
        stored = open_checkpoint(origin)
        plan = [TensorPlan(tensor.name, tensor.shape, dtype) for tensor in stored.tensors.values()]
        of_rank_0 = merged(stored, adapters, lora.alpha / lora.rank, dtype)
        values = _together(of_rank_0 if ranks.is_main() else repeat(_NOTHING, len(plan)))
    if ranks.is_main():
        with write_folder_whole(destination) as aside:
            write_model_files(aside, plan, values, shard_bytes)
            _write_beside(aside, origin, dtype)
            check_model(aside, dtype)
    else:
        # Each weight is gathered, or waited for, by all ranks together.
        for _ in values:
            pass
    ranks.wait_for_all()


def _together(values: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the values; each is waited for on all ranks. The merging of a large model on rank 0 alone may take longer
    than the others may wait in one collective call."""
    for value in values:
        ranks.wait_for_all()
        yield value


def shape_of(parameter: torch.nn.Parameter) -> tuple[int, ...]:
    """Return the shape of a parameter, also where ZeRO-3 has left only a part of it here."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def gathered(parameters: Named, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each parameter whole, in `dtype` and on CPU, on rank 0; nothing elsewhere. Every rank has to exhaust it."""
    for name, parameter in parameters.items():
        with _whole(parameter, dtype) as value:
            copy = value.detach().to("cpu", dtype, copy=True) if ranks.is_main() else None
        if copy is not None:
            yield name, copy


@contextmanager
def _whole(parameter: torch.nn.Parameter, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """Give a parameter whole: its float32 master where float32 is wanted and DeepSpeed keeps one."""
    has_master = hasattr(parameter, "_z3_optimizer") or hasattr(parameter, "_hp_mapping")
    if dtype is torch.float32 and parameter.dtype is not dtype and parameter.requires_grad and has_master:
        from deepspeed.utils import safe_get_full_fp32_param

        yield safe_get_full_fp32_param(parameter)
    elif hasattr(parameter, "ds_id"):
        from deepspeed import zero

        with zero.GatheredParameters([parameter]):
            yield parameter
    else:
        yield parameter


def _write_beside(folder: Path, origin: Path, dtype: torch.dtype) -> None:
    """Write what a model folder holds beside its weights."""
    config = AutoConfig.from_pretrained(origin, trust_remote_code=False)
    config.dtype = dtype
    config.save_pretrained(folder)
    for file in origin.iterdir():
        if not file.name.startswith("model") and not (folder / file.name).exists():
            shutil.copy2(file, folder / file.name)
