"""Packs as the trainer reads them: those of step k are a pure function of (seed, k), whatever the number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from datasets import Dataset
from torch.utils.data import Sampler

from hermes_train.chat.labels import IGNORED
from hermes_train.packing.balance import attention_work, even_out
from hermes_train.packing.pack_index import INDEX
from hermes_train.packing.store import PackIndex, TokenStore

_WORK = "attention_work"
_NO_PACK = -1
"""Stands for a row without documents."""


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, packs: int) -> np.ndarray:
    """Return the order of the packs in one epoch, int64, not to be written to: the same on any machine."""
    order = np.random.default_rng([seed, epoch]).permutation(packs)
    order.setflags(write=False)
    return order


def step_packs(seed: int, step: int, global_batch: int, packs: int) -> np.ndarray:
    """Return the packs of an optimizer step, counted from 0 over all epochs."""
    epoch, position = divmod(step, packs // global_batch)
    first = position * global_batch
    return epoch_order(seed, epoch, packs)[first : first + global_batch]


@dataclass(frozen=True)
class Dealing:
    """How the rows of an optimizer step are dealt to the ranks: a micro-batch to each, `micro_steps` times."""

    ranks: int
    micro_batch: int
    micro_steps: int

    @property
    def global_batch(self) -> int:
        """Rows in an optimizer step."""
        return self.ranks * self.micro_batch * self.micro_steps


def dealt_rows(
    seed: int, step: int, dealing: Dealing, rows: int, works: np.ndarray | None = None
) -> np.ndarray:
    """Return the rows of an optimizer step as they are dealt, int64 (micro-steps, ranks, micro_batch).

    `works`: the attention work of each of the `rows`, by which ranks are evened out; None leaves rows as they come.
    """
    drawn = step_packs(seed, step, dealing.global_batch, rows)
    if works is not None:
        drawn = drawn[even_out(works[drawn], dealing.ranks, dealing.micro_batch)]
    return drawn.reshape(dealing.micro_steps, dealing.ranks, dealing.micro_batch)


class StepSampler(Sampler[int]):
    """Yields the rows of one epoch, step after step, as Accelerate deals them: micro-batch b goes to rank b % ranks.

    The epoch is that of the next optimizer step, which `next_step` tells when iteration begins. It is not left to
    `set_epoch`: where Accelerate 1.15 skips batches on several ranks, that call reaches no sampler, and a run resumed
    in a later epoch would go through the rows of the first one again.
    """

    def __init__(
        self,
        rows: int,
        seed: int,
        dealing: Dealing,
        next_step: Callable[[], int],
        works: np.ndarray | None = None,
        copies: int = 1,
    ) -> None:
        """`works`: the attention work of each row, by which ranks are evened out; None leaves rows as they come.

        `copies`: ranks that share a micro-batch; to each of them it is dealt, and `dealing` counts them as one.
        """
        if rows < dealing.global_batch:
            raise ValueError(f"{rows} rows are fewer than a global batch of {dealing.global_batch}")
        self._rows = rows
        self._seed = seed
        self._dealing = dealing
        self._next_step = next_step
        self._works = works
        self._copies = copies
        self._steps = rows // dealing.global_batch

    def __len__(self) -> int:
        return self._steps * self._dealing.global_batch * self._copies

    def __iter__(self) -> Iterator[int]:
        first = self._next_step() // self._steps * self._steps
        for step in range(first, first + self._steps):
            yield from self._step(step).tolist()

    def _step(self, step: int) -> np.ndarray:
        dealt = dealt_rows(self._seed, step, self._dealing, self._rows, self._works)
        return dealt.repeat(self._copies, axis=1).ravel()


class PackedData:
    """The packs of one training stage, or those held out from it: a token store and an index of it in a folder."""

    def __init__(
        self,
        folder: Path,
        pad_token_id: int,
        skipped: frozenset[str] = frozenset(),
        index_file: str = INDEX,
        copy: Path | None = None,
    ) -> None:
        """`skipped`: ids of documents whose labels are ignored; they stay in their packs, so that the order stays.

        `copy`: a copy of what this node reads of `folder` (`store_copy.py`), to be read instead. Raises UserError when
        no document has one of the `skipped` ids.
        """
        self.store = TokenStore(copy or folder)
        self.index = PackIndex.load((copy or folder) / index_file)
        self._copy = copy
        self._folder = folder
        self._index_file = index_file
        self._pad_token_id = pad_token_id
        self._skipped_ids = skipped
        self._skipped = self._all_ids().numbers_of(skipped) if skipped else frozenset()

    def __reduce__(self) -> tuple[type[PackedData], tuple[Path, int, frozenset[str], str, Path | None]]:
        """Go to another process as a path: what lies on disk is opened there again."""
        return PackedData, (
            self._folder,
            self._pad_token_id,
            self._skipped_ids,
            self._index_file,
            self._copy,
        )

    def _all_ids(self) -> TokenStore:
        """Return the store that knows every document's id; a copy has those of its own documents."""
        return TokenStore(self._folder) if self._copy else self.store

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self.store.lengths()

    @cached_property
    def _label_tokens(self) -> np.ndarray:
        label_tokens = self.store.label_tokens()
        label_tokens[list(self._skipped)] = 0
        return label_tokens

    @cached_property
    def _modes(self) -> np.ndarray:
        return self.store.modes()

    def pack(self, number: int) -> dict[str, np.ndarray | list[int]]:
        """Return one pack: `input_ids` and `labels` of exactly the pack's length, int64, `seq_lengths` and `modes`.

        `seq_lengths` are the documents' lengths, from which the collator makes the positions, and `modes` their places
        in `mixture.MODES`. The unused tail is padding that counts as a document of its own: every step then has the
        same shape, which spares kernels and allocators from new ones.
        """
        return self._laid_out(self.index.documents(number))

    def _laid_out(self, documents: np.ndarray) -> dict[str, np.ndarray | list[int]]:
        ids = np.full(self.index.length, self._pad_token_id, np.int64)
        labels = np.full(self.index.length, IGNORED, np.int64)
        lengths, position = [], 0
        for document in documents:
            tokens = self.store.input_ids(document)
            lengths.append(len(tokens))
            place = slice(position, position + len(tokens))
            ids[place] = tokens
            if document not in self._skipped:
                labels[place] = self.store.labels(document)
            position += len(tokens)
        if position < self.index.length:
            lengths.append(self.index.length - position)
        # The padding has no label, so that its mode is never asked for.
        modes = [*self._modes[documents].tolist(), 0][: len(lengths)]
        return {"input_ids": ids, "labels": labels, "seq_lengths": lengths, "modes": modes}

    def attention_works(self) -> np.ndarray:
        """Return the attention work of each pack, int64."""
        return attention_work(self._lengths[self.index.order], self.index.starts, self.index.length)

    def as_dataset(self, multiple: int = 1) -> Dataset:
        """Return the packs as a data set for TRL; rows are made when they are read.

        Rows of padding, without a label, follow the packs until their number is a multiple of `multiple`.
        """
        padding = -len(self) % multiple
        packs = [*range(len(self)), *[_NO_PACK] * padding]
        works = np.append(self.attention_works(), np.full(padding, self.index.length**2, np.int64))
        return Dataset.from_dict({"pack": packs, _WORK: works}).with_transform(self._rows, columns=["pack"])

    def _rows(self, batch: dict[str, list[int]]) -> dict[str, list[np.ndarray | list[int]]]:
        nothing = np.empty(0, np.int64)
        packs = [
            self._laid_out(nothing) if number == _NO_PACK else self.pack(number) for number in batch["pack"]
        ]
        return {key: [pack[key] for pack in packs] for key in packs[0]}

    def step_tokens(self, seed: int, global_batch: int, step: int) -> tuple[int, int]:
        """Return (tokens, labelled tokens) of the optimizer step `step`, counted from 0, padding left out."""
        documents = self._step_documents(seed, step, global_batch)
        return int(self._lengths[documents].sum()), int(self._label_tokens[documents].sum())

    def step_lengths(self, seed: int, global_batch: int, step: int) -> np.ndarray:
        """Return the tokens of each document of the optimizer step `step`, int64."""
        return self._lengths[self._step_documents(seed, step, global_batch)]

    def step_documents(self, seed: int, step: int, global_batch: int) -> list[str]:
        """Return the ids of the rows that the optimizer step `step`, counted from 0, learns from, pack after pack."""
        store = self._all_ids()
        return [store.identity(number) for number in self._step_documents(seed, step, global_batch)]

    def _step_documents(self, seed: int, step: int, global_batch: int) -> np.ndarray:
        packs = step_packs(seed, step, global_batch, len(self))
        return np.concatenate([self.index.documents(pack) for pack in packs])


def attention_works(dataset: Dataset) -> np.ndarray:
    """Return the attention work of each row of what `PackedData.as_dataset` made, int64."""
    return np.asarray(dataset.with_format("numpy", columns=[_WORK])[_WORK][:], np.int64)
