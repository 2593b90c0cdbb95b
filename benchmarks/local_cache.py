"""What a node copies of the packs before it trains, and how fast: HERMES_LOCAL_CACHE.

    python benchmarks/local_cache.py [--documents 40000] [--nodes 1 2 8 24 48] [--folder DIR]

Documents have lengths shaped like Hermes 4's; one epoch, 384 packs in a step, 8 ranks to a node. For one of the nodes:

- copied: the bytes of its copy, and their share of the packs of all nodes;
- read: the bytes that the disk was asked for, beside those of a node that maps the shared files and reads the same
  documents in the order in which it trains, from a page cache that is cold at first;
- s/GB: the time of a copy, by its bytes.

The folder should lie on the shared file system, or else on a disk; in memory (tmpfs) nothing is read from anywhere.
What a mapped page costs depends on how much the system reads around it: /sys/block/<disk>/queue/read_ahead_kb.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from hermes_lengths import CAPACITY, hermes_lengths
from rich.console import Console
from rich.table import Table

from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.dataset import Dealing, PackedData
from hermes_train.packing.node_share import NodeShare
from hermes_train.packing.pack_index import INDEX, build_index
from hermes_train.packing.shards import write_shard
from hermes_train.packing.store import seal_store
from hermes_train.packing.store_copy import copy_part

GLOBAL_BATCH, RANKS_PER_NODE, SHARD = 384, 8, 1_000


def write_packs(folder: Path, lengths: np.ndarray) -> None:
    """Write a store of random documents of these lengths and the index of its packs."""
    count = len(lengths)
    ids = np.random.default_rng(1).integers(0, 128_256, 1 << 22).astype(np.int32)

    def documents(first: int) -> Iterator[Document]:
        for number in range(first, min(first + SHARD, count)):
            start = number * 61 % (len(ids) - CAPACITY)
            tokens = ids[start : start + lengths[number]]
            spans = np.asarray([[len(tokens) // 4, len(tokens)]], np.int32)
            yield Document(f"source/{number}", "source", Mode.THINK, tokens, spans)

    firsts = range(0, count, SHARD)
    for shard, first in enumerate(firsts):
        write_shard(folder, shard, documents(first))
    store = seal_store(folder, len(firsts))
    build_index(store.lengths(), np.arange(count), CAPACITY, GLOBAL_BATCH, seed=0).save(folder / INDEX)


def packs_of_first_node(data: PackedData, nodes: int) -> np.ndarray:
    """Return the packs that the first of so many nodes is dealt in one epoch."""
    ranks = nodes * RANKS_PER_NODE
    dealing = Dealing(ranks, 1, GLOBAL_BATCH // ranks)
    share = NodeShare(0, dealing, 1, range(RANKS_PER_NODE), 0, len(data) // GLOBAL_BATCH)
    return share.packs(data.attention_works())


def forget_pages(folder: Path) -> None:
    """Let the system drop what it has in memory of a folder's files; no process may have them mapped."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(folder: Path, nodes: int, way: str) -> dict[str, float]:
    """Read what the first of so many nodes is dealt, in one of two ways, from a cold page cache."""
    data = PackedData(folder, pad_token_id=0)
    packs = packs_of_first_node(data, nodes)
    numbers = np.unique(np.concatenate([data.index.documents(pack) for pack in packs]))
    before, started = psutil.Process().io_counters().read_bytes, time.perf_counter()
    copied = 0
    if way == "copy":
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            copy_part(folder, numbers, Path(name), lambda done, total: None)
            copied = sum(path.stat().st_size for path in Path(name).iterdir())
    else:
        for pack in np.random.default_rng(0).permutation(packs):
            data.pack(int(pack))
    seconds = time.perf_counter() - started
    read = psutil.Process().io_counters().read_bytes - before
    return {"documents": len(numbers), "copied": copied, "read": read, "seconds": seconds}


def in_a_process(folder: Path, nodes: int, way: str) -> dict[str, float]:
    """Measure in a process of its own: pages that a process has mapped are not forgotten."""
    forget_pages(folder)
    command = [sys.executable, __file__, "--measure", str(folder), str(nodes), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 8, 24, 48])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, nodes, way = arguments.measure
        sys.stdout.write(json.dumps(measure(Path(folder), int(nodes), way)) + "\n")
        return
    table = Table("nodes", "documents", "copied", "of all", "read to copy", "read when mapped", "s/GB")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        packs = Path(name) / "packs"
        packs.mkdir()
        lengths = hermes_lengths(arguments.documents)
        write_packs(packs, lengths)
        whole = sum(path.stat().st_size for path in packs.iterdir())
        for nodes in arguments.nodes:
            copy, mapped = (in_a_process(packs, nodes, way) for way in ("copy", "mapped"))
            table.add_row(
                str(nodes),
                f"{copy['documents']:,.0f}",
                f"{copy['copied'] / 1e9:.3f} GB",
                f"{copy['copied'] / whole:.1%}",
                f"{copy['read'] / 1e9:.3f} GB",
                f"{mapped['read'] / 1e9:.3f} GB",
                f"{copy['seconds'] / copy['copied'] * 1e9:.2f}",
            )
    console = Console(width=110)
    console.print(table)
    console.print(f"all packs: {whole / 1e9:.3f} GB, {len(lengths):,} documents", highlight=False)


if __name__ == "__main__":
    main()
