"""64-bit numbers spread over all 64-bit numbers, the same on any machine."""

from __future__ import annotations

import numpy as np

_GAMMA = 0x9E3779B97F4A7C15


def splitmix64(numbers: np.ndarray, stream: int = 1) -> np.ndarray:
    """Return a number for each of `numbers`, uint64, every bit of which hangs on all bits of the one given;
    streams give different ones (the finaliser of SplitMix64, Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195)."""
    mixed = np.asarray(numbers, np.uint64) + np.uint64(stream * _GAMMA % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
