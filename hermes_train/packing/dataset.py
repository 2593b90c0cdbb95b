"""Packs as the trainer reads them, in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import Sampler

from hermes_train.chat.labels import IGNORED
from hermes_train.packing.store import PackIndex, TokenStore


def epoch_order(seed: int, epoch: int, packs: int) -> np.ndarray:
    """Return the order of the packs in one epoch, int64: the same for the same arguments, on any machine."""
    return np.random.default_rng([seed, epoch]).permutation(packs)


class EpochSampler(Sampler[int]):
    """Yields `epoch_order` for the epoch that the trainer has set."""

    def __init__(self, seed: int, length: int) -> None:
        self._seed = seed
        self._length = length
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on; the data loader calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._seed, self._epoch, self._length).tolist())


class PackedData:
    """The packs of one training stage: `documents.arrow` and `index.npz` in a folder."""

    def __init__(self, folder: Path, pad_token_id: int) -> None:
        self.store = TokenStore(folder / "documents.arrow")
        self.index = PackIndex.load(folder / "index.npz")
        self._pad_token_id = pad_token_id
        self._label_tokens = self.store.label_tokens()
        self._lengths = self.store.lengths()

    def __len__(self) -> int:
        return len(self.index)

    def pack(self, number: int) -> dict[str, list[int]]:
        """Return one pack: `input_ids` and `labels` of exactly the pack's length, and `seq_lengths`, its documents'.

        The unused tail is padding that counts as a document of its own: every step then has the same shape, which
        spares kernels and allocators from new ones.
        """
        documents = self.index.documents(number)
        ids = [self.store.input_ids(document) for document in documents]
        labels = [self.store.labels(document) for document in documents]
        lengths = [len(tokens) for tokens in ids]
        unused = self.index.length - sum(lengths)
        if unused:
            ids.append(np.full(unused, self._pad_token_id, np.int32))
            labels.append(np.full(unused, IGNORED, np.int32))
            lengths.append(unused)
        return {
            "input_ids": np.concatenate(ids).tolist(),
            "labels": np.concatenate(labels).tolist(),
            "seq_lengths": lengths,
        }

    def as_dataset(self) -> Dataset:
        """Return the packs as a data set for TRL; rows are made when they are read."""
        numbers = Dataset.from_dict({"pack": list(range(len(self)))})
        return numbers.with_transform(self._rows)

    def _rows(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        packs = [self.pack(number) for number in batch["pack"]]
        return {key: [pack[key] for pack in packs] for key in ("input_ids", "labels", "seq_lengths")}

    def step_tokens(self, seed: int, global_batch: int, step: int) -> tuple[int, int]:
        """Return (tokens, labelled tokens) of the optimizer step `step`, counted from 0, padding left out."""
        steps_per_epoch = len(self) // global_batch
        epoch, position = divmod(step, steps_per_epoch)
        first = position * global_batch
        packs = epoch_order(seed, epoch, len(self))[first : first + global_batch]
        documents = np.concatenate([self.index.documents(pack) for pack in packs])
        return int(self._lengths[documents].sum()), int(self._label_tokens[documents].sum())
