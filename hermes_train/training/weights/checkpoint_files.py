"""The safetensors files of a model, read as streams: memory holds a small part of one tensor at a time.

A file is eight bytes with the length of its header, the header as JSON, and the bytes of the tensors one after another,
without gaps; offsets count from the end of the header:

    {"__metadata__": {"format": "pt"},
     "model.norm.weight": {"dtype": "BF16", "shape": [4096], "data_offsets": [0, 8192]}}

Several files have an index beside them, model.safetensors.index.json:

    {"metadata": {"total_size": 16060522496}, "weight_map": {"model.norm.weight": "model-00004-of-00004.safetensors"}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from data_filters.errors import UserError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""The stored dtypes that are converted; tensors of any other are copied as they are."""

LENGTH_BYTES = 8
"""Bytes of a file before its header: how long the header is."""

_ALIGNMENT = 8
"""Tensors begin at a multiple of this."""

PART_BYTES = 1 << 20
"""How much of a tensor is in memory at a time; more where one row is longer."""


class _Entry(msgspec.Struct, frozen=True):
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def size(self) -> int:
        return self.data_offsets[1] - self.data_offsets[0]

    @property
    def fits(self) -> bool:
        """Whether the size is that of the shape, as far as the dtype is known."""
        return self.dtype not in FLOATS or self.size == math.prod(self.shape) * FLOATS[self.dtype].itemsize


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor stands: its file, and its first byte in it."""

    name: str
    dtype: str
    """As safetensors names it, such as BF16."""
    shape: tuple[int, ...]
    file: Path
    begin: int
    size: int
    """Bytes."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry of the first dimension."""
        return self.size // self.shape[0]


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a model, by name, in the order in which they are stored."""

    folder: Path
    tensors: Mapping[str, StoredTensor]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, each once."""
        return tuple(dict.fromkeys(tensor.file for tensor in self.tensors.values()))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the headers of a model's safetensors files.

    Raises UserError where there are none, one is missing or damaged, or the index names tensors that no file has.
    """
    weight_map = {} if (folder / SINGLE_FILE).is_file() else _weight_map(folder)
    names = sorted(set(weight_map.values())) or [SINGLE_FILE]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of the {len(names)} files that {INDEX_FILE} names, {missing[0]} among "
            "them; fetch them again"
        )
    tensors = {tensor.name: tensor for name in names for tensor in read_header(folder / name)}
    lost = sorted(set(weight_map) - set(tensors))
    if lost:
        raise UserError(
            f"{INDEX_FILE} in {folder} names {lost[0]}, but no file has it; fetch the model again"
        )
    return Checkpoint(folder, tensors)


def shard_names(folder: Path) -> list[str]:
    """Return the names of the files that a model's index names. Raises UserError when there is no index."""
    return sorted(set(_weight_map(folder).values()))


def _weight_map(folder: Path) -> dict[str, str]:
    """Return the index's names of tensors, and their files."""
    path = folder / INDEX_FILE
    try:
        weight_map = msgspec.json.decode(path.read_bytes(), type=_Index).weight_map
    except FileNotFoundError:
        raise UserError(_no_weights(folder)) from None
    except msgspec.DecodeError as error:
        raise UserError(f"{path} is damaged ({error}); fetch it again") from error
    if not weight_map:
        raise UserError(f"{path} is damaged (it names no tensor); fetch it again")
    return weight_map


def _no_weights(folder: Path) -> str:
    pickled = next(folder.glob("pytorch_model*.bin*"), None)
    if pickled is None:
        return (
            f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}; model.base must hold safetensors weights"
        )
    return (
        f"{folder} stores its weights as {pickled.name}, which can run code when it is read; convert them with "
        "`AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW)` of transformers and give the new folder"
    )


def read_header(file: Path) -> list[StoredTensor]:
    """Return the tensors of one file in the order of their bytes. Raises UserError when the file is damaged."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
        first = LENGTH_BYTES + length
        header = opened.read(length) if first <= size else b""
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in raw.items()}
    except msgspec.DecodeError as error:
        raise UserError(f"{file} is damaged (its header: {error}); fetch it again") from error
    tensors = []
    end = first
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        tensors.append(StoredTensor(name, entry.dtype, entry.shape, file, end, entry.size))
        end += entry.size
        if first + entry.data_offsets[1] != end or not entry.fits:
            raise UserError(f"{file} is damaged (the bytes of {name} have another place); fetch it again")
    if end != size:
        raise UserError(f"{file} is damaged (it has {size} bytes instead of {end}); fetch it again")
    return tensors


def header_bytes(entries: Iterable[tuple[str, str, tuple[int, ...], int]]) -> bytes:
    """Return what stands in a file before its tensors: (name, dtype, shape, bytes) of each, in their order."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, dtype, shape, size in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The format pads the header with spaces.
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def row_parts(tensor: StoredTensor) -> Iterator[torch.Tensor]:
    """Yield the rows of a floating-point tensor, some at a time, as float32 of two dimensions."""
    rows = max(1, PART_BYTES // tensor.row_bytes)
    for part in byte_parts(tensor, rows * tensor.row_bytes):
        yield part.view(FLOATS[tensor.dtype]).float().view(-1, math.prod(tensor.shape[1:]))


def same_values(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors are equal, byte by byte."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(map(torch.equal, byte_parts(one), byte_parts(other)))


def read_elements(tensor: StoredTensor, first: int, count: int) -> torch.Tensor:
    """Return `count` elements of a floating-point tensor from the flat position `first` on, in its stored dtype."""
    dtype = FLOATS[tensor.dtype]
    part = bytearray(count * dtype.itemsize)
    with tensor.file.open("rb") as file:
        file.seek(tensor.begin + first * dtype.itemsize)
        read = file.readinto(part)
    assert read == len(part), f"{tensor.file} was cut while it was read"
    return torch.frombuffer(part, dtype=dtype) if count else torch.empty(0, dtype=dtype)


def read_tensor(tensor: StoredTensor) -> torch.Tensor:
    """Return a floating-point tensor whole, in its stored dtype."""
    return read_elements(tensor, 0, math.prod(tensor.shape)).view(tensor.shape)


def byte_parts(tensor: StoredTensor, part_bytes: int = PART_BYTES) -> Iterator[torch.Tensor]:
    """Yield a tensor's bytes as uint8."""
    with tensor.file.open("rb") as file:
        file.seek(tensor.begin)
        for at in range(0, tensor.size, part_bytes):
            part = bytearray(min(part_bytes, tensor.size - at))
            read = file.readinto(part)
            assert read == len(part), f"{tensor.file} was cut while it was read"
            yield torch.frombuffer(part, dtype=torch.uint8)
