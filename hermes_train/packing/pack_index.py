"""Documents of a store into an index of packs, and the figures of these packs."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_filters.errors import UserError
from data_filters.samples import Mode
from hermes_train.packing.bins import pack, round_up_to_multiple
from hermes_train.packing.mixture import MODES
from hermes_train.packing.store import PackIndex, TokenStore

INDEX = "index.npz"
"""The file of an index beside its store."""


def build_index(
    lengths: np.ndarray, chosen: np.ndarray, length: int, global_batch: int, seed: int
) -> PackIndex:
    """Return packs of at most `length` tokens: `chosen` numbers of documents, `lengths` tokens of all documents.

    Their number is a multiple of the global batch. Raises UserError where there are too few documents for that.
    """
    # In random order, so that each pack is a sample of the mixture.
    chosen = np.random.default_rng(seed).permutation(chosen)
    order, starts = pack(lengths[chosen], length)
    try:
        order, starts = round_up_to_multiple(order, starts, lengths[chosen], global_batch)
    except ValueError as error:
        raise UserError(str(error)) from error
    return PackIndex(chosen[order], starts, length)


def pack_figures(store: TokenStore, index: PackIndex) -> dict[str, Any]:
    """Return what the packs of an index hold, and how full they are."""
    lengths, labels = store.lengths()[index.order], store.label_tokens()[index.order]
    thinking = store.modes()[index.order] == MODES.index(Mode.THINK)
    counts, edges = np.histogram(lengths, bins=min(24, max(1, len(np.unique(lengths)))))
    return {
        "length": index.length,
        "packs": len(index),
        "documents": len(index.order),
        "tokens": int(lengths.sum()),
        "label_tokens": int(labels.sum()),
        "fill": float(lengths.sum() / (len(index) * index.length)),
        "think_tokens": int(lengths[thinking].sum()),
        "direct_tokens": int(lengths[~thinking].sum()),
        "length_histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
