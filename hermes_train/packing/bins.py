"""Documents into packs of a fixed length, over all documents at once.

Documents arrive in random order and fill pack after pack, so that each pack is a sample of the mixture. What is left
of a pack is then closed from the documents that are still to come. Sorting everything first, as first-fit-decreasing
does, fills no better once there are many documents, and it makes some packs of long documents and others of short
ones: batches that differ in kind and mode.

Packs are closed in two ways, one after the other:

1. Exactly, many packs at once in NumPy: a document of just the length that is missing ends the pack. The last
   documents of a pack may step back and wait, which gives a choice of missing lengths; the one of which the largest
   part is left is taken, so that no length runs out before the others.
2. As well as possible, one pack at a time: the few documents that are left when exact ends become rare.

So every pack of the first kind is full to the last token, and no document that comes after a pack of the second kind
would have fitted into it.
"""

from __future__ import annotations

import numpy as np

_BLOCKS = 64
"""Documents arrive in this many blocks; a pack of one block is closed by documents of the blocks after it."""
_STEP_BACK = 4
"""How many documents at the end of a pack may wait for a later one."""
_RARE = 0.5
"""Below this share of packs that find an exact end in a block, the rest is packed one at a time."""
_PACKS_FOR_A_REPEAT = 10
"""Of so many packs of one document each, one may be repeated to make a whole number of global batches."""
_NONE = -1
"""Stands for no document."""


def pack(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(order, starts)`: document numbers laid pack after pack, and where in `order` each pack starts.

    `lengths`: integers, one per document, in 1..capacity, in random order where packs shall be samples of the whole.
    `order` is a permutation of the documents, int64; pack k holds `order[starts[k]:starts[k + 1]]`, the last one the
    rest. No document is split, and no pack exceeds `capacity`. Raises ValueError for a length outside 1..capacity.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if lengths.min() < 1 or lengths.max() > capacity:
        worst = int(lengths.min()) if lengths.min() < 1 else int(lengths.max())
        raise ValueError(f"a document has length {worst}; a pack takes documents of 1 to {capacity} tokens")
    full_order, full_starts = _fill_exactly(lengths, capacity)
    packed = np.zeros(lengths.size, bool)
    packed[full_order] = True
    rest = np.flatnonzero(~packed)
    rest_order, rest_starts = _fill_best(lengths[rest], capacity)
    order = np.concatenate([full_order, rest[rest_order]])
    return order, np.concatenate([full_starts, rest_starts + len(full_order)])


def _fill_exactly(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(order, starts)` of packs that hold `capacity` tokens each; they leave some documents out."""
    closers = _Closers(lengths, capacity)
    waiting = np.empty(0, np.int64)
    orders, sizes = [waiting], [waiting]
    for block in np.array_split(np.arange(lengths.size), _BLOCKS):
        arrived = np.concatenate([waiting, closers.arrive(block)])
        before = np.concatenate([[0], np.cumsum(lengths[arrived])])
        edges = _edges(before, capacity)
        starts, ends = edges[:-1], _ends_with_closers(before, edges, capacity, closers.share_left())
        room = capacity - (before[ends] - before[starts])
        closing = closers.take(room)
        full = (room == 0) | (closing != _NONE)
        # Of a pack that is full now, the documents up to its end stay; all others wait for the next block.
        stays = np.arange(edges[-1]) < np.repeat(np.where(full, ends, starts), np.diff(edges))
        waiting = np.concatenate([arrived[: edges[-1]][~stays], arrived[edges[-1] :]])
        kept, closing = (ends - starts)[full], closing[full]
        closed = closing != _NONE
        orders.append(np.insert(arrived[: edges[-1]][stays], np.cumsum(kept)[closed], closing[closed]))
        sizes.append(kept + closed)
        if full.sum() < _RARE * len(full):
            break
    size = np.concatenate(sizes)
    return np.concatenate(orders), np.cumsum(size) - size


def _edges(before: np.ndarray, capacity: int) -> np.ndarray:
    """Return where packs begin when documents fill one after the other: the last edge begins one that is not full yet.

    `before[i]` is the number of tokens before document i.
    """
    next_edge = (np.searchsorted(before, before[:-1] + capacity, side="right") - 1).tolist()
    edges, edge = [], 0
    while edge < len(next_edge):
        edges.append(edge)
        edge = next_edge[edge]
    return np.asarray(edges or [0], np.int64)


def _ends_with_closers(
    before: np.ndarray, edges: np.ndarray, capacity: int, share_left: np.ndarray
) -> np.ndarray:
    """Return the end of each pack: its edge, or up to _STEP_BACK documents before, where the best closer is left."""
    starts = edges[:-1, None]
    ends = np.maximum(edges[1:, None] - np.arange(_STEP_BACK + 1), starts)
    best = share_left[capacity - (before[ends] - before[starts])].argmax(axis=1)
    return ends[np.arange(len(ends)), best]


class _Closers:
    """The documents that are still to come, by length. Those that come last are taken first."""

    def __init__(self, lengths: np.ndarray, capacity: int) -> None:
        self._lengths = lengths
        # NumPy sorts 16-bit integers by radix, in a fifth of the time of 64-bit ones.
        self._by_length = np.argsort(lengths.astype(np.min_scalar_type(capacity)), kind="stable")
        self._count = np.bincount(lengths, minlength=capacity + 1)
        self._first = np.cumsum(self._count) - self._count
        self._left = self._count.copy()
        self._arrived = np.zeros(capacity + 1, np.int64)
        self._is_taken = np.zeros(lengths.size, bool)

    def arrive(self, block: np.ndarray) -> np.ndarray:
        """Return the documents of the next block that no pack has taken; from now on they close none."""
        self._arrived += np.bincount(self._lengths[block], minlength=len(self._arrived))
        return block[~self._is_taken[block]]

    def share_left(self) -> np.ndarray:
        """Return what part of each length can still be taken; 1 for length 0, which needs no document."""
        share = self._available() / np.maximum(self._count, 1)
        share[0] = 1
        return share

    def _available(self) -> np.ndarray:
        return np.maximum(self._left - self._arrived, 0)

    def take(self, wanted: np.ndarray) -> np.ndarray:
        """Return a document of each wanted length, _NONE where there is none left."""
        groups = np.argsort(wanted, kind="stable")
        count = np.bincount(wanted, minlength=len(self._left))
        rank = np.empty(len(wanted), np.int64)
        rank[groups] = np.arange(len(wanted)) - np.repeat(np.cumsum(count) - count, count)
        found = rank < self._available()[wanted]
        taken = wanted[found]
        documents = np.full(len(wanted), _NONE, np.int64)
        documents[found] = self._by_length[self._first[taken] + self._left[taken] - 1 - rank[found]]
        self._left -= np.minimum(count, self._available())
        self._is_taken[documents[found]] = True
        return documents


def _fill_best(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `(order, starts)` of packs that are each closed with the longest documents that still fit.

    A Python integer with one bit per length in stock finds the longest that fits in one shift and one bit_length.
    """
    # Each length has a queue of its documents in their order: a slice of by_length, and how far it is used up.
    # Plain lists: the loops below read one number at a time, which NumPy is slow at.
    sorted_documents = np.argsort(lengths, kind="stable")
    places = np.empty(lengths.size, np.int64)
    places[sorted_documents] = np.arange(lengths.size)
    ends = np.cumsum(np.bincount(lengths, minlength=capacity + 1))
    by_length, place_in_queue, arriving = sorted_documents.tolist(), places.tolist(), lengths.tolist()
    queue_end, queue_head = ends.tolist(), [0, *ends[:-1].tolist()]
    stock = sum(1 << length for length in set(arriving))

    order: list[int] = []
    starts: list[int] = []
    document, last = 0, len(arriving)
    while stock:
        room = capacity
        starts.append(len(order))
        while document < last and (length := arriving[document]) <= room:
            # A document before the head of its queue has closed an earlier pack.
            if place_in_queue[document] >= queue_head[length]:
                order.append(document)
                room -= length
                queue_head[length] += 1
                if queue_head[length] == queue_end[length]:
                    stock ^= 1 << length
            document += 1
        while fitting := stock & ((1 << (room + 1)) - 1):
            length = fitting.bit_length() - 1
            order.append(by_length[queue_head[length]])
            room -= length
            queue_head[length] += 1
            if queue_head[length] == queue_end[length]:
                stock ^= 1 << length
    return np.asarray(order, np.int64), np.asarray(starts, np.int64)


def round_up_to_multiple(
    order: np.ndarray, starts: np.ndarray, lengths: np.ndarray, multiple: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split packs until their number is a multiple of the global batch, so that no rank waits for another.

    The packs with the most documents are split in two, where their tokens are halved most evenly. Where every pack has
    one document, the first packs are repeated at the end: one in ten at most. Nothing is dropped or moved. Raises
    ValueError when more would have to be repeated.
    """
    target = -(-len(starts) // multiple) * multiple
    if target - len(order) > len(order) // _PACKS_FOR_A_REPEAT:
        raise ValueError(
            f"{len(order)} documents in {len(starts)} packs cannot fill a multiple of the global batch ({multiple}); "
            "give more data or a smaller global_batch"
        )
    while missing := min(target, len(order)) - len(starts):
        ends = np.append(starts[1:], len(order))
        fullest = np.argsort(starts - ends, kind="stable")[:missing]
        splittable = fullest[(ends - starts)[fullest] > 1]
        cuts = [starts[pack] + _middle(lengths[order[starts[pack] : ends[pack]]]) for pack in splittable]
        starts = np.sort(np.concatenate([starts, cuts]))
    repeated = np.arange(max(0, target - len(order)))
    return np.concatenate([order, order[repeated]]), np.concatenate([starts, len(order) + repeated])


def _middle(lengths: np.ndarray) -> int:
    """Return the cut, 1..n-1, that halves the tokens of n documents most evenly."""
    before = np.cumsum(lengths)[:-1]
    return int(np.abs(before - lengths.sum() / 2).argmin()) + 1
