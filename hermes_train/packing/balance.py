"""The packs of an optimizer step, laid over its micro-steps and ranks so that attention work is even.

Packs are of equal length, so all that differs is attention: its work grows with the square of each document's length.
A pack that is one long document takes many times the attention of a pack of short ones, and ranks wait for each other:
in every micro-step where parameters are gathered from all of them (ZeRO-3), at the end of the step everywhere.

So packs of similar work share a micro-step, which makes the sum of the heaviest packs of the micro-steps as small as
it can be; and within a micro-step they go to the ranks in the way that evens out what each rank does in the whole step.
Which packs a step holds is decided before and does not change.
"""

from __future__ import annotations

import numpy as np

_EVEN_ENOUGH = 1.01
"""The heaviest rank's work over the mean at which no more packs change places."""


def attention_work(lengths: np.ndarray, starts: np.ndarray, capacity: int) -> np.ndarray:
    """Return the attention work of each pack, int64: the sum of its squared document lengths.

    `lengths` are those of the documents, pack after pack, and `starts` where each pack begins. The padding up to
    `capacity` counts as a document: the kernels do not know better.
    """
    lengths = np.asarray(lengths, np.int64)
    if not len(starts):
        return np.empty(0, np.int64)
    padding = capacity - np.add.reduceat(lengths, starts)
    return np.asarray(np.add.reduceat(lengths**2, starts) + padding**2, np.int64)


def even_out(works: np.ndarray, ranks: int, micro_batch: int) -> np.ndarray:
    """Return the order in which the packs of a step are dealt: a permutation of their places in `works`, int64.

    The first `micro_batch` packs go to rank 0, the next to rank 1 and so on; after the last rank the next micro-step
    begins. The same works give the same order. Raises ValueError when the packs do not divide by ranks x micro_batch.
    """
    if len(works) % (ranks * micro_batch):
        raise ValueError(
            f"{len(works)} packs cannot be dealt to {ranks} ranks, {micro_batch} at a time; the global batch must be a "
            f"multiple of {ranks * micro_batch}"
        )
    works = np.asarray(works, np.int64)
    # Axes: micro-step, place in the micro-batch, rank.
    packs = np.argsort(-works, kind="stable").reshape(-1, micro_batch, ranks)
    batches = np.stack([step.ravel()[_even_columns(works[step])] for step in packs])
    # From here on a micro-batch moves as a whole. Axes: micro-step and rank, place in the micro-batch.
    batches = batches.transpose(0, 2, 1).reshape(-1, micro_batch)
    return batches[_even_columns(works[batches].sum(axis=1).reshape(-1, ranks))].reshape(-1)


def _even_columns(works: np.ndarray) -> np.ndarray:
    """Return an arrangement of the values, as places in `works.ravel()`, that makes the sums of the columns even.

    Row after row, the largest value goes to the column with the smallest sum so far; then values change places.
    """
    columns = works.shape[1]
    places = np.empty(works.shape, np.int64)
    sums = np.zeros(columns, np.int64)
    for row, values in enumerate(works):
        largest_first, least_first = np.argsort(-values, kind="stable"), np.argsort(sums, kind="stable")
        places[row, least_first] = row * columns + largest_first
        sums[least_first] += values[largest_first]
    _exchange(places, works.ravel())
    return places


def _exchange(places: np.ndarray, values: np.ndarray) -> None:
    """Let values of the heaviest column change places with others while that makes it lighter.

    An exchange has to lower the largest sum of a column by more than it adds to the largest value of a row.
    """
    for _ in range(places.size):
        arranged = values[places]
        sums = arranged.sum(axis=0)
        heaviest = int(sums.argmax())
        if sums[heaviest] <= _EVEN_ENOUGH * sums.mean():
            return
        # Axes: row of the value given, row and column of the value taken.
        given = arranged[:, heaviest, None, None]
        shed = given - arranged
        added_wait = np.maximum(given - arranged.max(axis=1, keepdims=True), 0)
        cost = np.maximum(sums[heaviest] - shed, sums + shed) + added_wait
        own_row, row, column = np.unravel_index(cost.argmin(), cost.shape)
        if cost[own_row, row, column] >= sums[heaviest]:
            return
        one, other = (own_row, heaviest), (row, column)
        places[one], places[other] = places[other], places[one]
