"""A checkpoint written again with other rows, another dtype or without some tensors, as a stream from file to file."""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch

from data_filters.errors import RunFailedError
from data_filters.files import copy_bytes, write_atomically
from hermes_train.training.weights.checkpoint_files import (
    FLOATS,
    INDEX_FILE,
    PART_BYTES,
    SINGLE_FILE,
    Checkpoint,
    StoredTensor,
    byte_parts,
    header_bytes,
    open_checkpoint,
    read_header,
)

_NAMES = {dtype: name for name, dtype in FLOATS.items()}


@dataclass(frozen=True)
class NewRows:
    """Rows of a tensor that differ from those stored; rows up to `total` that are in neither are zero."""

    total: int
    numbers: tuple[int, ...]
    values: torch.Tensor
    """float32, one row for each of `numbers`."""


@dataclass(frozen=True)
class Changes:
    """How a rewritten checkpoint differs from the stored one."""

    dtype: torch.dtype
    """Of all floating-point tensors."""
    rows: Mapping[str, NewRows] = field(default_factory=dict)
    dropped: Collection[str] = ()


@dataclass(frozen=True)
class _Target:
    """One tensor as it will be written."""

    stored: StoredTensor
    dtype: str
    shape: tuple[int, ...]
    rows: NewRows | None

    @property
    def size(self) -> int:
        if self.dtype == self.stored.dtype and self.shape == self.stored.shape:
            return self.stored.size
        return math.prod(self.shape) * FLOATS[self.dtype].itemsize

    @property
    def unchanged(self) -> bool:
        return self.rows is None and self.dtype == self.stored.dtype


def write_checkpoint(checkpoint: Checkpoint, changes: Changes, folder: Path) -> Checkpoint:
    """Write a changed copy of a checkpoint into `folder`, file by file, and return it as it stands there.

    Files keep their names; one that nothing changes is copied byte for byte. The caller keeps a folder that was left
    half-written from being taken for a model, as `write_folder_whole` does. Raises RunFailedError when the disk has
    no room.
    """
    plans = {file: _plan(checkpoint, file, changes) for file in checkpoint.files}
    plans = {file: plan for file, plan in plans.items() if plan}
    total = sum(target.size for plan in plans.values() for target in plan)
    folder.mkdir(parents=True, exist_ok=True)
    with disk_full_told(folder, total):
        for file, plan in plans.items():
            _write_file(file, plan, folder / file.name)
        if [file.name for file in plans] != [SINGLE_FILE]:
            _write_index(plans, total, folder / INDEX_FILE)
    return _reopened(plans, folder)


@contextmanager
def disk_full_told(folder: Path, needed: int) -> Iterator[None]:
    """Raise RunFailedError where `needed` bytes have no room in `folder`, before the block or in it."""
    advice = f"; the prepared model needs {needed / 1e9:.1f} GB: make room or give another folder with --runs"
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFailedError(f"the disk of {folder} has {free / 1e9:.1f} GB free" + advice)
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunFailedError(f"the disk of {folder} is full" + advice) from error


def _plan(checkpoint: Checkpoint, file: Path, changes: Changes) -> list[_Target]:
    """Return what a file will hold, in order."""
    plan = []
    for stored in checkpoint.tensors.values():
        if stored.file != file or stored.name in changes.dropped:
            continue
        rows = changes.rows.get(stored.name)
        dtype = _NAMES[changes.dtype] if stored.dtype in FLOATS else stored.dtype
        shape = stored.shape if rows is None else (rows.total, *stored.shape[1:])
        plan.append(_Target(stored, dtype, shape, rows))
    # Wide elements first, as safetensors does itself: every tensor starts at a multiple of its element's size.
    return sorted(plan, key=lambda target: -(target.size // max(1, math.prod(target.shape))))


def _write_file(source: Path, plan: list[_Target], destination: Path) -> None:
    with source.open("rb") as stored, write_atomically(destination, "wb") as out:
        if len(plan) == len(read_header(source)) and all(target.unchanged for target in plan):
            copy_bytes(stored, None, out)
            return
        out.write(
            header_bytes((target.stored.name, target.dtype, target.shape, target.size) for target in plan)
        )
        for target in plan:
            _write_tensor(stored, target, out)


def _write_tensor(stored: IO[bytes], target: _Target, out: IO[bytes]) -> None:
    begin = out.tell()
    if target.dtype == target.stored.dtype:
        stored.seek(target.stored.begin)
        copy_bytes(stored, target.stored.begin + target.stored.size, out)
    else:
        for part in byte_parts(target.stored):
            out.write(_bytes_of(part.view(FLOATS[target.stored.dtype]), target.dtype))
    if target.rows is not None:
        _write_rows(target, target.rows, begin, out)
    assert out.tell() == begin + target.size, f"{target.stored.name} came out in another size"


def _write_rows(target: _Target, rows: NewRows, begin: int, out: IO[bytes]) -> None:
    """Append zeros up to the tensor's end, then write the new rows over what stands in their places."""
    end = begin + target.size
    while left := end - out.tell():
        out.write(bytes(min(left, PART_BYTES)))
    row_bytes = target.size // rows.total
    for number, value in zip(rows.numbers, rows.values, strict=True):
        out.seek(begin + number * row_bytes)
        out.write(_bytes_of(value, target.dtype))
    out.seek(end)


def _bytes_of(values: torch.Tensor, dtype: str) -> memoryview:
    flat: memoryview = values.reshape(-1).to(FLOATS[dtype]).view(torch.uint8).numpy().data
    return flat


def _write_index(plans: Mapping[Path, list[_Target]], total: int, path: Path) -> None:
    targets = [target for plan in plans.values() for target in plan]
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(target.shape) for target in targets),
            "total_size": total,
        },
        "weight_map": {target.stored.name: target.stored.file.name for target in targets},
    }
    with write_atomically(path) as file:
        json.dump(index, file, indent=2)
        file.write("\n")


def _reopened(plans: Mapping[Path, list[_Target]], folder: Path) -> Checkpoint:
    """Return the checkpoint that was written; its names, dtypes and shapes are those that were meant."""
    written = open_checkpoint(folder)
    targets = [target for plan in plans.values() for target in plan]
    meant = {target.stored.name: (target.dtype, target.shape) for target in targets}
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in written.tensors.items()}
    assert found == meant, f"{folder} has other tensors than were written"
    return written
