"""Fill and speed of the packer on lengths shaped like Hermes 4's data, beside first-fit-decreasing in groups of 5,000.

    python benchmarks/packing.py [DOCUMENTS]

Lengths: 3.5 million reasoning and 1.6 million other samples in proportion, the former about five times as long, at
most 16,384 tokens (Hermes 4 report, section 2). One core, one run of each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from hermes_train.packing.bins import pack

CAPACITY = 16_384
GROUP = 5_000


def hermes_lengths(count: int) -> np.ndarray:
    """Return `count` lengths in random order, int64."""
    rng = np.random.default_rng(0)
    thinking = round(count * 3.5 / 5.1)
    drawn = np.concatenate([rng.lognormal(8.2, 0.8, thinking), rng.lognormal(6.5, 0.8, count - thinking)])
    lengths = np.clip(drawn.astype(np.int64), 1, CAPACITY)
    rng.shuffle(lengths)
    return lengths


def first_fit_decreasing_packs(lengths: np.ndarray) -> int:
    """Return the number of packs of first-fit-decreasing within groups, with a tree over the room of open packs."""
    return sum(_first_fit(np.sort(lengths[at : at + GROUP])[::-1]) for at in range(0, len(lengths), GROUP))


def _first_fit(lengths: np.ndarray) -> int:
    size = 1 << (len(lengths) - 1).bit_length()
    most_room = [CAPACITY] * (2 * size)
    for length in lengths.tolist():
        node = 1
        while node < size:
            node *= 2
            if most_room[node] < length:
                node += 1
        most_room[node] -= length
        while node > 1:
            node //= 2
            most_room[node] = max(most_room[2 * node], most_room[2 * node + 1])
    return sum(room < CAPACITY for room in most_room[size:])


def measure(packer: Callable[[np.ndarray], int], lengths: np.ndarray) -> tuple[float, float]:
    """Return (fill, lengths per second)."""
    started = time.perf_counter()
    packs = packer(lengths)
    return float(lengths.sum() / (packs * CAPACITY)), len(lengths) / (time.perf_counter() - started)


def main() -> None:
    """Print the table."""
    lengths = hermes_lengths(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
    table = Table("packer", "fill", "lengths/s", "seconds")
    packers = {
        "hermes_train.packing.bins.pack, all at once": lambda given: len(pack(given, CAPACITY)[1]),
        f"first-fit-decreasing in groups of {GROUP:,}": first_fit_decreasing_packs,
    }
    for name, packer in packers.items():
        fill, speed = measure(packer, lengths)
        table.add_row(name, f"{100 * fill:.4f} %", f"{speed:,.0f}", f"{len(lengths) / speed:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
