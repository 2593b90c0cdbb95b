"""The token store from ten thousand documents to the 60 billion tokens of Hermes 4: rates, memory, and the plan.

    python benchmarks/token_store.py store [--documents 10000 40000 160000]   write, open and read stores of that size
    python benchmarks/token_store.py mixture [--documents 1000000 5100000 15300000]  what mixing and packing hold
    python benchmarks/token_store.py rows --prepared runs/demo/prepare [--rows 1000 4000]  rows to shards, one process
    python benchmarks/token_store.py plan --tokens-per-second X [--workers 16] [--bytes-per-token 4.03]

Lengths are shaped like Hermes 4's (3.5 million reasoning and 1.6 million other samples in proportion, the former about
five times as long, at most 16,384 tokens), token ids are random. Each size runs in a process of its own; memory is what
it holds beyond its imports, pages of mapped files left out (they are the disk's, and go when they are needed).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

CAPACITY = 16_384
SHARD = 1_000
UNIQUE_TOKENS, TRAINED_TOKENS, ROWS = 19e9, 60e9, 5_100_000
console = Console(highlight=False, soft_wrap=True)


def hermes_lengths(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` lengths in random order, int64, and whether each is of a thinking sample."""
    rng = np.random.default_rng(seed)
    thinking = rng.random(count) < 3.5 / 5.1
    drawn = np.where(thinking, rng.lognormal(8.2, 0.8, count), rng.lognormal(6.5, 0.8, count))
    return np.clip(drawn.astype(np.int64), 8, CAPACITY), thinking


class Memory:
    """The most memory that this process holds at a time, in bytes, without pages of mapped files."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.peak = self._held()

    def _held(self) -> int:
        memory = self._process.memory_info()
        return int(memory.rss - memory.shared)

    def note(self) -> None:
        """Look now."""
        self.peak = max(self.peak, self._held())

    @property
    def megabytes(self) -> float:
        """The most that was held beyond what was held at first, in MB."""
        return (self.peak - self.before) / 1e6


@contextmanager
def watched() -> Iterator[Memory]:
    """Look at this process's memory a hundred times a second."""
    memory, over = Memory(), threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            memory.note()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        memory.note()
        over.set()
        watcher.join()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_store(count: int) -> dict[str, float]:
    """Write a store of random documents in shards, open it, read documents anywhere."""
    from data_filters.samples import Mode
    from hermes_train.chat.labels import Document
    from hermes_train.packing.shards import write_shard
    from hermes_train.packing.store import TokenStore, seal_store

    lengths, thinking = hermes_lengths(count)
    ids = np.random.default_rng(1).integers(0, 128_256, 1 << 22).astype(np.int32)

    def documents(first: int, last: int) -> Iterator[Document]:
        for number in range(first, last):
            start = number * 61 % (len(ids) - CAPACITY)
            tokens = ids[start : start + lengths[number]]
            spans = np.asarray([[len(tokens) // 4, len(tokens)]], np.int32)
            mode = Mode.THINK if thinking[number] else Mode.DIRECT
            yield Document(f"source/{number}", "source", mode, tokens, spans)

    with tempfile.TemporaryDirectory(dir=ARGUMENTS.folder) as name, watched() as memory:
        folder = Path(name)
        shards = range(0, count, SHARD)
        write = timed(
            lambda: [
                write_shard(folder, number, documents(first, min(first + SHARD, count)))
                for number, first in enumerate(shards)
            ]
        )
        written = memory.megabytes
        seal = timed(lambda: seal_store(folder, len(shards)))
        opened = timed(lambda: TokenStore(folder))
        store = TokenStore(folder)
        chosen = np.random.default_rng(2).integers(0, count, 20_000).tolist()
        read = timed(lambda: sum(len(store.labels(number)) for number in chosen))
        size = sum(path.stat().st_size for path in folder.iterdir())
        return {
            "documents/s": count / write,
            "tokens/s": lengths.sum() / write,
            "write MB": written,
            "peak MB": memory.megabytes,
            "seal us/document": seal / count * 1e6,
            "open ms": opened * 1e3,
            "read us/document": read / len(chosen) * 1e6,
            "bytes/token": size / lengths.sum(),
        }


def measure_mixture(count: int) -> dict[str, float]:
    """Mix and pack so many documents of eight sources, two of them with a share."""
    from hermes_train.packing.bins import pack
    from hermes_train.packing.mixture import Part, Stock, mix

    with watched() as memory:
        lengths, thinking = hermes_lengths(count)
        rng = np.random.default_rng(3)
        stock = Stock(
            rng.integers(0, 2**64, count, dtype=np.uint64),
            rng.integers(0, 8, count).astype(np.int16),
            thinking.astype(np.int8),
            lengths.astype(np.int32),
            [f"source {number}" for number in range(8)],
        )
        parts = [Part(0.3, 4.0), Part(0.05), *[Part()] * 6]
        held = memory.megabytes
        seen: list[np.ndarray] = []
        mixing = timed(lambda: seen.append(mix(stock, parts, 0.92, True, 0)))
        memory.note()
        mixed = memory.megabytes
        chosen = np.random.default_rng(0).permutation(np.repeat(np.arange(count), seen[0]))
        laid: list[tuple[np.ndarray, np.ndarray]] = []
        packing = timed(lambda: laid.append(pack(lengths[chosen], CAPACITY)))
        order, starts = laid[0]
        return {
            "columns MB": held,
            "mix s": mixing,
            "mix peak MB": mixed,
            "seen": len(chosen),
            "pack s": packing,
            "pack peak MB": memory.megabytes,
            "packs": len(starts),
            "fill %": 100 * lengths[chosen].sum() / (len(starts) * CAPACITY),
            "index MB": (order.nbytes + starts.nbytes) / 1e6,
        }


def measure_rows(count: int) -> dict[str, float]:
    """Kept rows into shards as one worker of the pack stage does it, on one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from data_filters.files import write_jsonl
    from hermes_train.packing.rows import MakerPlan, ShardTask, make_shard, open_plan, store_fingerprint
    from hermes_train.packing.store import seal_store
    from hermes_train.recipe.load import load_recipe

    recipe = load_recipe(Path(ARGUMENTS.recipe), ["pack.length=16384"]).recipe
    with tempfile.TemporaryDirectory(dir=ARGUMENTS.folder) as name:
        folder = Path(name)
        kept = folder / "kept.jsonl"
        write_jsonl(kept, (_row(number) for number in range(count)))
        maker = MakerPlan(Path(ARGUMENTS.prepared) / "model", recipe.model, recipe.pack, 0)
        maker.maker()
        with watched() as memory:
            started = time.perf_counter()
            plan = open_plan(kept, store_fingerprint(kept, maker, CAPACITY), folder / "sft")
            for number, segment in enumerate(plan.segments):
                make_shard(ShardTask(maker, segment, folder / "sft", number, CAPACITY))
            store = seal_store(folder / "sft", len(plan.segments))
            seconds = time.perf_counter() - started
            tokens = int(store.lengths().sum())
        return {
            "rows/s": count / seconds,
            "tokens/s": tokens / seconds,
            "tokens/row": tokens / count,
            "us/row": seconds / count * 1e6,
            "peak MB": memory.megabytes,
        }


def _row(number: int) -> dict[str, object]:
    """A row of Hermes's length: about 4 characters a token, a thought on two of three rows."""
    rng = np.random.default_rng(number)
    (length,), (thinking,) = hermes_lengths(1, seed=number)
    steps = [
        f"Step {step}: {a} + {b} = {a + b}, so the total of the {a % 17} boxes is now {a + b}."
        for step, (a, b) in enumerate(rng.integers(0, 9999, (max(1, int(length) // 32), 2)).tolist())
    ]
    answer = {"role": "assistant", "content": steps[-1]}
    if thinking:
        answer["reasoning"] = " ".join(steps)
    else:
        answer["content"] = " ".join(steps)
    messages = [{"role": "user", "content": f"How many are in all boxes together, case {number}?"}, answer]
    return {"id": f"made/{number}", "source": "made", "messages": messages}


def print_plan() -> None:
    """Print what 60 billion tokens take: 19 billion of them stored once, seen about three times by the index."""
    tokens_per_second, workers = ARGUMENTS.tokens_per_second, ARGUMENTS.workers
    epochs = TRAINED_TOKENS / UNIQUE_TOKENS
    columns, index = 19, 8  # bytes per document, and per document seen
    table = Table("60B tokens, 19B of them unique, 5.1M rows", "takes")
    table.add_row("disk, token store", f"{UNIQUE_TOKENS * ARGUMENTS.bytes_per_token / 1e9:,.0f} GB")
    table.add_row("disk, small columns", f"{ROWS * columns / 1e6:,.0f} MB")
    table.add_row(
        f"disk, index of {epochs:.2f} passes (packs of {CAPACITY:,})",
        f"{(ROWS * epochs * index + TRAINED_TOKENS / CAPACITY * index) / 1e6:,.0f} MB",
    )
    hours = UNIQUE_TOKENS / tokens_per_second / workers / 3600
    table.add_row(f"hours, {workers} workers at {tokens_per_second:,.0f} tokens/s each", f"{hours:,.1f}")
    console.print(table)


MEASURES = {"store": measure_store, "mixture": measure_mixture, "rows": measure_rows}


def run_each(counts: list[int]) -> None:
    """Measure each size in a process of its own, and print one row for each."""
    results = []
    for count in counts:
        command = [sys.executable, *sys.argv, "--only", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        results.append(json.loads(done.stdout))
    table = Table("", *(f"{count:,}" for count in counts))
    for name in results[0]:
        values = [result[name] for result in results]
        table.add_row(name, *(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in values))
    console.print(table)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measure", choices=[*MEASURES, "plan"])
    parser.add_argument("--documents", "--rows", type=int, nargs="+", dest="counts")
    parser.add_argument("--prepared", help="folder of a finished prepare stage, for rows")
    parser.add_argument("--recipe", default="recipes/demo.yaml", help="its recipe")
    parser.add_argument("--folder", help="where stores are written; the system's temporary folder by default")
    parser.add_argument("--tokens-per-second", type=float, default=500_000.0)
    parser.add_argument("--bytes-per-token", type=float, default=4.02)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


DEFAULT_COUNTS = {
    "store": [10_000, 40_000, 160_000],
    "mixture": [1_000_000, 5_100_000, 15_300_000],
    "rows": [1_000, 4_000],
}


def main() -> None:
    """Measure one size as JSON, or all of them as a table."""
    if ARGUMENTS.measure == "plan":
        print_plan()
    elif ARGUMENTS.only is not None:
        print(json.dumps(MEASURES[ARGUMENTS.measure](ARGUMENTS.only)))  # noqa: T201  read by run_each
    else:
        run_each(ARGUMENTS.counts or DEFAULT_COUNTS[ARGUMENTS.measure])


if __name__ == "__main__":
    ARGUMENTS = arguments()
    main()
