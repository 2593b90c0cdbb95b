"""Which preference pairs stand in which row of which step: a pure function of (seed, step), for each number of ranks.

Every row of a run holds as many pairs: the mean over a row's pairs, averaged over rows, is then the mean over the pairs
of the global batch. Within a step the pairs are laid so that the longest row is short, and the rows dealt so that the
ranks' attention work is even. Rows have one of a few lengths, which spares kernels and allocators from new shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hermes_train.packing.balance import even_out
from hermes_train.packing.dataset import step_packs

_TILE = 64
"""Rows are a multiple of so many tokens long: the kernels' tiles are."""
_ROW_LENGTHS = 8
"""Lengths that the rows of a run may have."""


@dataclass(frozen=True)
class PairLengths:
    """Tokens of each pair's prompt and answers, int64 arrays of one entry for each pair."""

    prompts: np.ndarray
    chosen: np.ndarray
    rejected: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)

    @cached_property
    def answers(self) -> np.ndarray:
        """Tokens that carry loss: those of both answers."""
        return self.chosen + self.rejected

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens in a row: the prompt stands before each answer."""
        return 2 * self.prompts + self.answers

    @cached_property
    def attention_works(self) -> np.ndarray:
        """Squared lengths of the two documents, added up."""
        return (self.prompts + self.chosen) ** 2 + (self.prompts + self.rejected) ** 2


@dataclass(frozen=True)
class RowPlan:
    """Which pairs stand in which row of which step.

    `pairs`: int64 numbers of pairs, shape (steps, rows of a step, pairs of a row), rows in the order in which they are
    dealt: the first to rank 0, the next to rank 1 and so on; after the last rank the next micro-step begins.
    `row_lengths`: int64 tokens of each row, shape (steps, rows of a step). `micro_steps`: rows that each rank takes in
    a step.
    """

    pairs: np.ndarray
    row_lengths: np.ndarray
    micro_steps: int

    @property
    def rows(self) -> int:
        """Rows of the whole run."""
        return self.row_lengths.size

    def fill(self, lengths: PairLengths) -> float:
        """Return the share of the rows' tokens that are no padding."""
        return float(lengths.tokens[self.pairs].sum() / self.row_lengths.sum())


def plan_rows(
    lengths: PairLengths,
    seed: int,
    steps: int,
    global_batch: int,
    ranks: int,
    micro_batch: int,
    capacity: int,
) -> RowPlan:
    """Lay the pairs of each step in as few rows as hold them, at most `capacity` tokens long, with even work for ranks.

    `micro_batch` pairs fit in a row whatever their lengths; a row holds more where they are shorter. Raises ValueError
    when they do not fit, or global_batch is no multiple of ranks x micro_batch.
    """
    drawn = np.stack([step_packs(seed, step, global_batch, len(lengths)) for step in range(steps)])
    fullest = int(lengths.tokens[drawn].sum(axis=1).max())
    for held in _pairs_in_a_row(global_batch // ranks, micro_batch):
        rows = global_batch // held
        if fullest > rows * capacity:
            continue
        laid = np.stack([_laid_in_rows(lengths, step, rows) for step in drawn])
        longest = int(lengths.tokens[laid].sum(axis=-1).max())
        if longest <= capacity:
            dealt = np.stack([_dealt(lengths, step, ranks) for step in laid])
            return RowPlan(dealt, row_lengths(lengths.tokens[dealt].sum(axis=-1)), rows // ranks)
    raise ValueError(
        f"{micro_batch} pairs of up to {int(lengths.tokens.max())} tokens do not fit in a row of {capacity} tokens, or "
        f"the global batch ({global_batch}) is no multiple of ranks x micro_batch ({ranks} x {micro_batch})"
    )


def scoring_rows(
    lengths: PairLengths, pairs: np.ndarray, ranks: int, micro_batch: int, capacity: int
) -> np.ndarray:
    """Return some pairs laid in rows for a forward pass without training, int64 (rows, pairs of a row).

    Row r is for rank r % ranks. The last pair is repeated until all ranks have as many rows, each of at most
    `capacity` tokens, in which `micro_batch` pairs fit whatever their lengths.
    """
    typical = int(lengths.tokens[pairs].mean())
    for held in range(max(micro_batch, capacity // typical), micro_batch, -1):
        laid = _laid_out(lengths, pairs, ranks, held)
        if lengths.tokens[laid].sum(axis=1).max() <= capacity:
            return laid
    return _laid_out(lengths, pairs, ranks, micro_batch)


def _laid_out(lengths: PairLengths, pairs: np.ndarray, ranks: int, held: int) -> np.ndarray:
    missing = -len(pairs) % (ranks * held)
    filled = np.concatenate([pairs, np.repeat(pairs[-1:], missing)])
    return _dealt(lengths, _laid_in_rows(lengths, filled, len(filled) // held), ranks)


def _pairs_in_a_row(most: int, least: int) -> Iterator[int]:
    """Yield the numbers of pairs that a row may hold, most first: rows of a step are then dealt evenly."""
    return (held for held in range(most, least - 1, -1) if most % held == 0)


def _laid_in_rows(lengths: PairLengths, pairs: np.ndarray, rows: int) -> np.ndarray:
    """Return a step's pairs, shape (rows, pairs of a row), such that the longest row is short."""
    order = even_out(lengths.tokens[pairs], rows, len(pairs) // rows)
    return pairs[order].reshape(rows, -1)


def _dealt(lengths: PairLengths, rows: np.ndarray, ranks: int) -> np.ndarray:
    return rows[even_out(lengths.attention_works[rows].sum(axis=1), ranks, 1)]


def row_lengths(tokens: np.ndarray) -> np.ndarray:
    """Return the lengths of rows that hold so many tokens each, int64: one of a few."""
    unit = _TILE * -(-int(tokens.max()) // (_TILE * _ROW_LENGTHS))
    return -(-tokens // unit) * unit
