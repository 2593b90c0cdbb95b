"""How even attention work is over ranks, with packs dealt as they come and dealt by `even_out`.

    python benchmarks/balance.py [DOCUMENTS]

Packs of lengths shaped like Hermes 4's, 384 in an optimizer step, in random order. Of each step:

- largest / mean: the work of the rank that has most, over that of the mean rank;
- waiting: the share of attention time in which a rank waits for the heaviest one, if all ranks meet at the end of each
  micro-step, as they do under ZeRO-3.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from hermes_lengths import CAPACITY, hermes_lengths
from rich.console import Console
from rich.table import Table

from hermes_train.packing.balance import attention_work, even_out
from hermes_train.packing.bins import pack

GLOBAL_BATCH = 384
STEPS = 500


def steps_of_works(documents: int) -> np.ndarray:
    """Return the works of the packs of at most STEPS steps, (steps, GLOBAL_BATCH)."""
    lengths = hermes_lengths(documents)
    order, starts = pack(lengths, CAPACITY)
    works = np.random.default_rng(0).permutation(attention_work(lengths[order], starts, CAPACITY))
    return works[: min(STEPS, len(works) // GLOBAL_BATCH) * GLOBAL_BATCH].reshape(-1, GLOBAL_BATCH)


def figures(steps: np.ndarray, ranks: int, micro_batch: int) -> list[str]:
    """Return mean and largest of largest / mean, and the share of waiting, of works in the order they are dealt."""
    # Axes: step, micro-step, rank.
    works = steps.reshape(len(steps), -1, ranks, micro_batch).sum(axis=3)
    totals = works.sum(axis=1)
    ratio = totals.max(axis=1) / totals.mean(axis=1)
    waiting = 1 - works.mean(axis=2).sum() / works.max(axis=2).sum()
    return [f"{ratio.mean():.4f}", f"{ratio.max():.4f}", f"{100 * waiting:.1f} %"]


def main() -> None:
    """Print the table."""
    steps = steps_of_works(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    columns = ("largest / mean", "in the worst step", "waiting")
    table = Table("ranks", "micro-steps", *columns, *(f"evened: {column}" for column in columns), "ms a step")
    for ranks, micro_batch in ((8, 1), (16, 1), (48, 1), (48, 2), (96, 1), (192, 1)):
        started = time.perf_counter()
        dealt = np.stack([works[even_out(works, ranks, micro_batch)] for works in steps])
        seconds = (time.perf_counter() - started) / len(steps)
        shape = f"{GLOBAL_BATCH // ranks // micro_batch} of {micro_batch}"
        every = [*figures(steps, ranks, micro_batch), *figures(dealt, ranks, micro_batch)]
        table.add_row(str(ranks), shape, *every, f"{1000 * seconds:.2f}")
    console = Console(width=140)
    console.print(table)
    console.print(f"{len(steps)} steps of {GLOBAL_BATCH} packs of {CAPACITY:,} tokens")


if __name__ == "__main__":
    main()
