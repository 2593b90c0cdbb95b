"""Which documents a training stage sees, by the recipe's shares of tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_filters.samples import Mode


@dataclass(frozen=True)
class Part:
    """What the mixture wants of one source: a share of its tokens (None: all it has) and how often it is seen."""

    share: float | None
    epochs: float


def mix(
    identities: Sequence[str],
    sources: Sequence[str],
    modes: Sequence[Mode],
    tokens: np.ndarray,
    parts: Mapping[str, Part],
    think_share: float | None,
    seed: int,
) -> np.ndarray:
    """Return the numbers of the chosen documents, ascending, a document once for each time that it is seen.

    Sources with shares are thinned until their tokens stand in that proportion to each other and to the rest; then
    the mode that has too many tokens is thinned until think mode has `think_share` of them. Which documents go is
    decided by a hash of (seed, identity), so that the choice depends neither on order nor on other documents.
    """
    rank = np.asarray([_draw(seed, identity) for identity in identities])
    chosen = np.arange(len(identities))
    source_of = np.asarray(sources, dtype=object)
    chosen = np.concatenate(
        [_repeat(chosen[source_of == name], part.epochs, rank) for name, part in sorted(parts.items())]
        or [np.empty(0, np.int64)]
    ).astype(np.int64)
    chosen = _thin_to_shares(
        chosen, source_of, tokens, rank, {name: part.share for name, part in parts.items()}
    )
    if think_share is not None:
        mode_of = np.asarray([str(mode) for mode in modes], dtype=object)
        shares = {str(Mode.THINK): think_share, str(Mode.DIRECT): 1.0 - think_share}
        chosen = _thin_to_shares(chosen, mode_of, tokens, rank, shares)
    return np.sort(chosen)


def _draw(seed: int, identity: str) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{seed}\0{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _repeat(documents: np.ndarray, epochs: float, rank: np.ndarray) -> np.ndarray:
    """Return `documents` seen `epochs` times; a fractional epoch takes the documents of lowest rank."""
    whole, fraction = divmod(epochs, 1.0)
    lowest = documents[np.argsort(rank[documents], kind="stable")][: round(fraction * len(documents))]
    return np.concatenate([np.tile(documents, int(whole)), lowest])


def _thin_to_shares(
    documents: np.ndarray,
    group_of: np.ndarray,
    tokens: np.ndarray,
    rank: np.ndarray,
    shares: Mapping[str, float | None],
) -> np.ndarray:
    """Thin groups until each group with a share has that share of all tokens; groups without keep all they have."""
    available = {name: int(tokens[documents[group_of[documents] == name]].sum()) for name in shares}
    total = _largest_total(available, shares)
    kept = []
    for name, share in shares.items():
        members = documents[group_of[documents] == name]
        if share is not None:
            members = members[np.argsort(rank[members], kind="stable")]
            members = members[np.cumsum(tokens[members]) <= round(share * total)]
        kept.append(members)
    return np.concatenate(kept) if kept else documents


def _largest_total(available: Mapping[str, int], shares: Mapping[str, float | None]) -> float:
    """Return the most tokens that a mixture of these shares can have without repeating a document.

    Groups without a share keep all they have and so fix the total; where all groups have shares, the one that is
    scarcest for its share does.
    """
    wanted = {name: share for name, share in shares.items() if share}
    free = sum(count for name, count in available.items() if shares[name] is None)
    claimed = sum(wanted.values())
    if free and claimed < 1:
        return free / (1 - claimed)
    return min((available[name] / share for name, share in wanted.items()), default=float(free))
