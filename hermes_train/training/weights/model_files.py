"""The finished model's safetensors files, written as its weights come: the writer holds one tensor at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from data_filters.files import write_atomically
from hermes_train.training.weights.checkpoint_files import FLOATS, INDEX_FILE, SINGLE_FILE, header_bytes

SHARD_BYTES = 5_000_000_000
"""Most bytes of one file; a tensor that is larger has a file of its own."""

_NAMES = {dtype: name for name, dtype in FLOATS.items()}


@dataclass(frozen=True)
class TensorPlan:
    """A tensor that is to be written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def plan_files(tensors: Sequence[TensorPlan], shard_bytes: int = SHARD_BYTES) -> dict[str, list[TensorPlan]]:
    """Return the tensors of each file, by its name, in their order; each file is as full as the next tensor allows."""
    shards: list[list[TensorPlan]] = [[]]
    for tensor in tensors:
        if shards[-1] and sum(plan.size for plan in shards[-1]) + tensor.size > shard_bytes:
            shards.append([])
        shards[-1].append(tensor)
    if len(shards) == 1:
        return {SINGLE_FILE: shards[0]}
    return {
        f"model-{number:05}-of-{len(shards):05}.safetensors": shard
        for number, shard in enumerate(shards, start=1)
    }


def write_model_files(
    folder: Path, plan: Sequence[TensorPlan], values: Iterable[tuple[str, torch.Tensor]], shard_bytes: int
) -> None:
    """Write the tensors of `plan` into `folder`, with an index where they fill several files.

    `values` yields their names and values on CPU, in the order of the plan. Raises ValueError where it does not.
    """
    files = plan_files(plan, shard_bytes)
    coming = iter(values)
    for name, tensors in files.items():
        with write_atomically(folder / name, "wb") as out:
            out.write(
                header_bytes((each.name, _NAMES[each.dtype], each.shape, each.size) for each in tensors)
            )
            for each in tensors:
                out.write(_next_bytes(each, coming))
    # To its end: what gives the values looks there whether all has been used.
    for name, _ in coming:
        raise ValueError(f"nothing was to come any more, but {name} came")
    if len(files) > 1:
        _write_index(files, folder / INDEX_FILE)


def _next_bytes(expected: TensorPlan, coming: Iterator[tuple[str, torch.Tensor]]) -> memoryview:
    name, value = next(coming, ("nothing", torch.empty(0)))
    if (name, tuple(value.shape), value.dtype) != (expected.name, expected.shape, expected.dtype):
        raise ValueError(
            f"{expected.name} {list(expected.shape)} {expected.dtype} was to come, but {name} {list(value.shape)} "
            f"{value.dtype} came"
        )
    flat: memoryview = value.contiguous().view(-1).view(torch.uint8).numpy().data
    return flat


def _write_index(files: dict[str, list[TensorPlan]], path: Path) -> None:
    tensors = [tensor for shard in files.values() for tensor in shard]
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(tensor.shape) for tensor in tensors),
            "total_size": sum(tensor.size for tensor in tensors),
        },
        "weight_map": {tensor.name: name for name, shard in files.items() for tensor in shard},
    }
    with write_atomically(path) as file:
        json.dump(index, file, indent=2)
        file.write("\n")
