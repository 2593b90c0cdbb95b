"""Fill and speed of the packer, beside TRL's and first-fit-decreasing in groups of 5,000, on the same lengths.

    python benchmarks/packing.py [DOCUMENTS]

Lengths are shaped like Hermes 4's; one core, one run of each. Three figures of TRL 1.16's `bfd` (best-fit-decreasing):

- `pack_dataset(strategy="bfd")` as a user calls it, on int32 tokens of these lengths, which it moves into packs;
- the function that it maps over batches of 1,000 rows, on lists without content, so that no tokens are moved;
- the same function given all rows of the sample at once.

They take a sample of the documents, since they are slow; the table says how many.

    python benchmarks/packing.py --model FOLDER --data FOLDER

prints the fill on public conversations instead: gsm8k, chat and tools of ../shared/data, tokenised for the model in a
folder that `hermes-train prepare` wrote (<runs>/demo/prepare/model).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from hermes_lengths import CAPACITY, DOCUMENTS, hermes_lengths
from rich.console import Console
from rich.table import Table
from trl import pack_dataset
from trl.data_utils import _pack_bfd

from hermes_train.packing.bins import pack

GROUP = 5_000
MAP_BATCH = 1_000
"""The batch size of `datasets.map` that `pack_dataset` leaves at its default."""
SOURCES = {
    "gsm8k": ["math/gsm8k_train.jsonl"],
    "chat": ["chat/alpaca_demo.json", "chat/sharegpt_demo.json"],
    "tools": ["tools/glaive_sharegpt_tools.json"],
}


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


def rows_of(lengths: np.ndarray, tokens: pa.Array) -> pa.Table:
    """Return a column `input_ids` of lists of these lengths."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return pa.table({"input_ids": pa.LargeListArray.from_arrays(edges, tokens)})


def trl_bare_packs(lengths: np.ndarray, batch: int) -> int:
    """Return the number of packs of the function inside `pack_dataset`, batch after batch, on empty tokens."""
    batches = (lengths[at : at + batch] for at in range(0, len(lengths), batch))
    return sum(len(_pack_bfd(rows_of(part, pa.nulls(int(part.sum()))), CAPACITY)) for part in batches)


def measure(packer: Callable[[], int], lengths: np.ndarray) -> tuple[float, float]:
    """Return (fill, seconds)."""
    started = time.perf_counter()
    packs = packer()
    return float(lengths.sum() / (packs * CAPACITY)), time.perf_counter() - started


def packers(
    lengths: np.ndarray,
) -> Iterator[tuple[str, Callable[[np.ndarray], Callable[[], int]], np.ndarray]]:
    """Yield (name, what makes the packer ready, the lengths that it is given)."""
    small = lengths[:20_000]
    sample = lengths[:50_000]

    def moving_tokens(given: np.ndarray) -> Callable[[], int]:
        data = datasets.Dataset(rows_of(given, pa.array(np.zeros(given.sum(), np.int32))))
        return lambda: len(pack_dataset(data, CAPACITY, strategy="bfd"))

    yield (
        "hermes_train.packing.bins.pack, all at once",
        lambda given: lambda: len(pack(given, CAPACITY)[1]),
        lengths,
    )
    yield (
        f"first-fit-decreasing in groups of {GROUP:,}",
        lambda given: lambda: first_fit_decreasing_packs(given),
        lengths,
    )
    yield f"TRL pack_dataset(bfd), map of {MAP_BATCH:,}, with its tokens", moving_tokens, small
    yield (
        f"TRL _pack_bfd in batches of {MAP_BATCH:,}, no tokens",
        lambda given: lambda: trl_bare_packs(given, MAP_BATCH),
        sample,
    )
    yield (
        "TRL _pack_bfd all at once, no tokens",
        lambda given: lambda: trl_bare_packs(given, len(given)),
        sample,
    )


def compare_packers(count: int, console: Console) -> None:
    """Print the table of packers."""
    datasets.disable_progress_bars()
    table = Table("packer", "documents", "fill", "lengths/s", "seconds")
    for name, prepare, given in packers(hermes_lengths(count)):
        fill, seconds = measure(prepare(given), given)
        table.add_row(
            name, f"{len(given):,}", f"{100 * fill:.4f} %", f"{len(given) / seconds:,.0f}", f"{seconds:.2f}"
        )
    console.print(table)


def tokenised_lengths(model: Path, files: list[Path]) -> tuple[list[int], int]:
    """Return the lengths of the documents that rows of these files become, and how many rows become none."""
    # Here, so that the other table does not wait for a tokenizer.
    from data_filters.formats import parse_row
    from data_filters.readers import read_rows
    from data_filters.settings import Source
    from hermes_train.packing.documents import Tally, document_maker
    from hermes_train.recipe.schema import SystemPrompts
    from hermes_train.training.model import load_tokenizer

    maker, tally = document_maker(load_tokenizer(model), SystemPrompts()), Tally()
    sources = [Source(name=file.name.partition(".")[0], path=str(file)) for file in files]
    rows = ((source, number, row) for source in sources for number, row in read_rows(source))
    samples = (parse_row(row, source, number) for source, number, row in rows)
    lengths = [len(made.input_ids) for made in maker.documents(samples, "keep", CAPACITY, tally)]
    return lengths, sum(sum(count.dropped.values()) for count in tally.counts.values())


def fill_on_data(model: Path, data: Path, console: Console) -> None:
    """Print the fill of packs of public conversations."""
    found = {
        name: tokenised_lengths(model, [data / file for file in files]) for name, files in SOURCES.items()
    }
    found["all three"] = (
        [length for lengths, _ in found.values() for length in lengths],
        sum(d for _, d in found.values()),
    )
    table = Table("data", "documents", "rejected", "tokens", "pack", "packs", "fewest that hold them", "fill")
    for name, (every, dropped) in found.items():
        for capacity in (2_048, CAPACITY):
            lengths = np.random.default_rng(0).permutation([length for length in every if length <= capacity])
            packs, tokens = len(pack(lengths, capacity)[1]), int(lengths.sum())
            figures = (
                len(lengths),
                dropped + len(every) - len(lengths),
                tokens,
                capacity,
                packs,
                -(-tokens // capacity),
            )
            table.add_row(
                name, *(f"{figure:,}" for figure in figures), f"{100 * tokens / packs / capacity:.3f} %"
            )
    console.print(table)


def main() -> None:
    """Print one of the tables."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("documents", nargs="?", type=int, default=DOCUMENTS)
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--data", type=Path)
    chosen = arguments.parse_args()
    console = Console(width=140)
    if chosen.model and chosen.data:
        fill_on_data(chosen.model, chosen.data, console)
    else:
        compare_packers(chosen.documents, console)


if __name__ == "__main__":
    main()
