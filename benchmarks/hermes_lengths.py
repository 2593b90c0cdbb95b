"""Lengths shaped like Hermes 4's data, for the benchmarks of packing and balance."""

from __future__ import annotations

import numpy as np

CAPACITY = 16_384
DOCUMENTS = 5_100_000
"""3.5 million reasoning and 1.6 million other samples (Hermes 4 report, section 2)."""


def hermes_lengths(count: int) -> np.ndarray:
    """Return about `count` lengths in random order, int64, in the report's proportion of kinds.

    Reasoning samples are about five times as long as the others. What is longer than a pack is left out, as Hermes 4
    leaves it out.
    """
    rng = np.random.default_rng(0)
    thinking = round(count * 3.5 / 5.1)
    drawn = np.concatenate([rng.lognormal(8.2, 0.8, thinking), rng.lognormal(6.5, 0.8, count - thinking)])
    lengths = drawn.astype(np.int64)
    return rng.permutation(lengths[(lengths > 0) & (lengths <= CAPACITY)])
