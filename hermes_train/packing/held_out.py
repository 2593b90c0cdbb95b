"""Rows that no training stage sees: the loss on their documents tells a model that still learns from one that only
remembers.

Which rows these are is a pure function of the seed and their ids, so that all stages leave out the same ones and a row
stays held out when others come or go. All documents of a row go together: what stands in an id after the row's own,
`chats/4#2`, does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_filters.errors import UserError
from hermes_train.packing.bins import pack
from hermes_train.packing.mixture import ranks
from hermes_train.packing.shards import identity_hash
from hermes_train.packing.store import PackIndex, TokenStore

HELD_OUT_INDEX = "held_out.npz"
"""The file of the held-out packs, beside those of the store that are trained."""

_TURN = re.compile(r"(#\d+)+$")
"""What `history_views` adds to the id of a row that is several documents."""


@dataclass(frozen=True)
class HeldOut:
    """Which rows are held out: `share` of them, 0 to below 1, drawn by a hash of `seed` and id."""

    share: float
    seed: int

    def has(self, identity: str) -> bool:
        """Return whether the row, or the row of the document, with this id is held out."""
        return bool(self.share) and bool(self.among([identity])[0])

    def among(self, identities: Iterable[str]) -> np.ndarray:
        """Return for each id of a row or document whether it is held out, bool."""
        hashes = np.fromiter((identity_hash(_TURN.sub("", name)) for name in identities), np.uint64)
        drawn_by = ranks(hashes, identity_hash(f"{self.seed} held_out"))
        return np.asarray(drawn_by < np.uint64(self.share * 2**64))


def held_out_documents(store: TokenStore, held_out: HeldOut) -> np.ndarray:
    """Return for each document of a store whether it is held out, bool."""
    if not held_out.share:
        return np.zeros(len(store), bool)
    return held_out.among(store.identities())


def held_out_packs(store: TokenStore, is_held_out: np.ndarray, length: int) -> PackIndex:
    """Return packs of the held-out documents of at most `length` tokens, in the order of the store.

    Raises UserError where there is none.
    """
    fitting = np.flatnonzero(is_held_out & (store.lengths() <= length))
    if not len(fitting):
        raise UserError(
            f"pack.held_out leaves nothing to hold out: {int(is_held_out.sum())} of {len(store)} documents are drawn, "
            f"and none has at most pack.length = {length} tokens; raise pack.held_out, give more rows, or set it to 0"
        )
    order, starts = pack(store.lengths()[fitting], length)
    return PackIndex(fitting[order], starts, length)
