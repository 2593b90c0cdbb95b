"""Which documents a training stage sees and how often: shares of sources, a split by mode, repeats and caps.

Everything is NumPy over one number per document, so that five million documents take seconds. A document's rank is a
hash of (seed, id): which documents go when there are too many depends neither on their order nor on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_filters.errors import UserError
from data_filters.samples import Mode
from data_filters.splitmix import splitmix64

MODES = (Mode.DIRECT, Mode.THINK)
"""The modes by their codes."""

_ROUNDS = 1000
_SETTLED = 1e-7
"""Shares of sources and of modes are met in turns until no amount changes by more than this part of itself."""


@dataclass(frozen=True)
class Part:
    """What the mixture wants of one source.

    `share` is its part of the mixture; None lets it bring all that it has. `epochs` is how often a document is seen,
    with a share how often at most. `max_documents` and `max_tokens` bound what is used of the source before it is
    repeated.
    """

    share: float | None = None
    epochs: float = 1.0
    max_documents: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Stock:
    """What there is to mix: one entry per document in each array.

    `hashes` uint64, of the ids; `sources` and `modes` codes from 0; `tokens` lengths. `names` are the sources' names
    by their codes.
    """

    hashes: np.ndarray
    sources: np.ndarray
    modes: np.ndarray
    tokens: np.ndarray
    names: Sequence[str]

    @property
    def cells(self) -> np.ndarray:
        """The number of each document's source and mode together: `source * 2 + mode`."""
        return np.asarray(self.sources, np.int32) * len(MODES) + self.modes

    def only(self, documents: np.ndarray) -> Stock:
        """Return the stock of some documents, by their numbers."""
        return Stock(
            self.hashes[documents],
            self.sources[documents],
            self.modes[documents],
            self.tokens[documents],
            self.names,
        )


def ranks(hashes: np.ndarray, seed: int) -> np.ndarray:
    """Return a uint64 for each hash, in random order for each seed: SplitMix64 of the hash and the seed."""
    return splitmix64(hashes ^ splitmix64(np.asarray([seed], np.uint64)))


def lowest(hashes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the places of the `count` entries of lowest rank (all, when there are fewer), ascending."""
    order = np.argsort(ranks(hashes, seed), kind="stable")
    return np.sort(order[:count])


def mix(
    stock: Stock, parts: Sequence[Part], think_share: float | None, by_tokens: bool, seed: int
) -> np.ndarray:
    """Return how often each document is seen, int64.

    `parts` are what is wanted of each source, by its code. Shares are of tokens, or of documents. Sources without a
    share bring what they have; those with one are thinned, or repeated up to their epochs, until they have it; then
    the mode that has too much is thinned in every source alike; and so on in turns until both hold. Raises UserError
    where a share is asked of a source or mode without documents, or where shares contradict each other.
    """
    weights = np.asarray(stock.tokens, np.int64) if by_tokens else np.ones(len(stock.tokens), np.int64)
    order = np.argsort(ranks(stock.hashes, seed), kind="stable")
    order = order[_within_caps(order, stock, parts)]
    cells = stock.cells[order]
    available = np.bincount(cells, weights[order], minlength=len(stock.names) * len(MODES))
    epochs = np.asarray([part.epochs for part in parts], np.float64)
    most = available.reshape(-1, len(MODES)) * epochs[:, None]
    shares = [part.share for part in parts]
    _require_documents(most, shares, think_share, stock.names)
    wanted = _amounts(most, shares, think_share).reshape(-1)

    times = np.zeros(len(stock.tokens), np.int64)
    # Stable, so that each cell keeps the order of ranks.
    by_cell = np.argsort(cells, kind="stable")
    edges = np.cumsum(np.bincount(cells, minlength=len(available)))[:-1]
    for cell, members in enumerate(np.split(order[by_cell], edges)):
        if len(members):
            times[members] = _times(weights[members], wanted[cell])
    return times


def _within_caps(order: np.ndarray, stock: Stock, parts: Sequence[Part]) -> np.ndarray:
    """Return which places of `order`, documents by rank, lie within the caps of their source."""
    within = np.ones(len(order), bool)
    for source, part in enumerate(parts):
        if part.max_documents is None and part.max_tokens is None:
            continue
        places = np.flatnonzero(stock.sources[order] == source)
        if part.max_documents is not None:
            within[places[part.max_documents :]] = False
        if part.max_tokens is not None:
            tokens = np.cumsum(stock.tokens[order[places]], dtype=np.int64)
            within[places[tokens > part.max_tokens]] = False
    return within


def _times(weights: np.ndarray, wanted: float) -> np.ndarray:
    """Return how often each document of a cell is seen, in order of rank: all alike, the first ones once more."""
    whole = int(wanted / weights.sum() + 1e-9)
    # The document at the edge is taken when more than half of it is wanted.
    once_more = np.cumsum(weights) - weights / 2 <= wanted - whole * weights.sum()
    return whole + once_more.astype(np.int64)


def _require_documents(
    most: np.ndarray, shares: Sequence[float | None], think_share: float | None, names: Sequence[str]
) -> None:
    for name, share, amount in zip(names, shares, most.sum(axis=1), strict=True):
        if share is not None and not amount:
            raise UserError(
                f"data.sources.{name}.share is {share}, but no document of {name} is left to mix; see why rows were "
                "rejected and dropped, or take its share back"
            )
    if think_share is None:
        return
    for mode, share, amount in zip(MODES, _mode_shares(think_share), most.sum(axis=0), strict=True):
        if share and not amount:
            raise UserError(
                f"pack.think_share is {think_share}, but there is no document in {mode} mode; add a source of that "
                "mode or leave think_share out"
            )


def _mode_shares(think_share: float) -> np.ndarray:
    return np.asarray([1.0 - think_share, think_share])


def _amounts(most: np.ndarray, shares: Sequence[float | None], think_share: float | None) -> np.ndarray:
    """Return what is taken of each (source, mode), at most `most` of it, so that all shares hold."""
    amounts = _thin_sources(most, shares)
    if think_share is None:
        return amounts
    for _ in range(_ROUNDS):
        before = amounts
        amounts = _thin_sources(_thin_modes(amounts, think_share), shares)
        if np.allclose(before, amounts, rtol=_SETTLED, atol=0) and amounts.sum():
            return amounts
    raise UserError(
        f"pack.think_share ({think_share}) and the shares of the sources contradict each other: no mixture of their "
        "think and direct documents has both; change one of them"
    )


def _thin_sources(amounts: np.ndarray, shares: Sequence[float | None]) -> np.ndarray:
    """Thin the sources that have more than their share of what will be left."""
    totals = amounts.sum(axis=1)
    whole = _whole(totals, shares)
    wanted = [total if share is None else share * whole for total, share in zip(totals, shares, strict=True)]
    return amounts * _factor(np.asarray(wanted), totals)[:, None]


def _whole(totals: np.ndarray, shares: Sequence[float | None]) -> float:
    """Return the size of the mixture.

    Where sources without a share bring something, they fix it; a source that has less than its share brings all it
    has and counts as one of them. Where all have shares, the one that is scarcest for its share fixes it.
    """
    fixed = float(sum(total for total, share in zip(totals, shares, strict=True) if share is None))
    sharing = sorted(
        (total / share, total, share)
        for total, share in zip(totals, shares, strict=True)
        if share is not None
    )
    if not sharing:
        return fixed
    if not fixed:
        return float(sharing[0][0])
    left = 1.0 - sum(share for *_, share in sharing)
    for enough_for, total, share in sharing:
        if enough_for >= fixed / left:
            break
        fixed, left = fixed + float(total), left + share
    return fixed / left


def _thin_modes(amounts: np.ndarray, think_share: float) -> np.ndarray:
    """Thin the mode that has more than its share, in every source alike."""
    totals, shares = amounts.sum(axis=0), _mode_shares(think_share)
    asked = shares > 0
    whole = (totals[asked] / shares[asked]).min()
    return amounts * _factor(shares * whole, totals)


def _factor(wanted: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return by what each total is multiplied to come down to `wanted`; nothing is made more."""
    return np.minimum(1.0, np.divide(wanted, totals, out=np.zeros_like(totals), where=totals > 0))
