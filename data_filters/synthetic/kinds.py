"""The kinds of program-made problems by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from data_filters.synthetic.counts import counts, long_counts
from data_filters.synthetic.problems import (
    Problem,
    careless,
    constraints,
    legs,
    products,
    records,
    sorting,
    sums,
)
from data_filters.synthetic.requests import misjudged, requests

KINDS: dict[str, Callable[[int, int], Iterator[Problem]]] = {
    "sums": sums,
    "legs": legs,
    "products": products,
    "sorting": sorting,
    "counts": counts,
    "long_counts": long_counts,
    "constraints": constraints,
    "careless": careless,
    "records": records,
    "requests": requests,
    "misjudged": misjudged,
}
"""The kinds of problem by name: each takes (count, seed) and yields that many problems."""
