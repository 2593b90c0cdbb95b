"""Documents into packs of a fixed length, over all documents at once.

Packs are filled in the order in which the documents come and each is closed with the longest documents that still fit,
taken from all that are left. Sorting everything first (first-fit-decreasing) fills no better once there are many
documents, and it makes some packs of long documents and others of short ones: batches that differ in kind and mode.
Here each pack is a sample of the mixture.

A Python integer with one bit per length in stock finds the longest that fits in one shift and one bit_length.
"""

from __future__ import annotations

import numpy as np


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
    order, starts = _fill(lengths, capacity)
    return np.asarray(order, np.int64), np.asarray(starts, np.int64)


def _fill(lengths: np.ndarray, capacity: int) -> tuple[list[int], list[int]]:
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
    return order, starts


def round_up_to_multiple(
    order: np.ndarray, starts: np.ndarray, lengths: np.ndarray, multiple: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split packs until their number is a multiple of the global batch, so that no rank waits for another.

    The packs with the most documents are split in two, where their tokens are halved most evenly. Nothing is
    dropped or repeated. Raises ValueError when there are too few documents to give every pack one.
    """
    target = -(-len(starts) // multiple) * multiple
    if target > len(order):
        raise ValueError(
            f"{len(order)} documents in {len(starts)} packs cannot fill a multiple of the global batch ({multiple}); "
            "give more data, shorter packs or a smaller global_batch"
        )
    packs = [order[start:end] for start, end in zip(starts, [*starts[1:], len(order)], strict=True)]
    while missing := target - len(packs):
        sizes = np.asarray([len(documents) for documents in packs])
        fullest = [index for index in np.argsort(-sizes, kind="stable")[:missing] if sizes[index] > 1]
        for index in fullest:
            cut = _middle(lengths[packs[index]])
            packs.append(packs[index][cut:])
            packs[index] = packs[index][:cut]
    sizes = np.asarray([len(documents) for documents in packs], np.int64)
    return np.concatenate(packs) if packs else order, np.cumsum(sizes) - sizes


def _middle(lengths: np.ndarray) -> int:
    """Return the cut, 1..n-1, that halves the tokens of n documents most evenly."""
    before = np.cumsum(lengths)[:-1]
    return int(np.abs(before - lengths.sum() / 2).argmin()) + 1
