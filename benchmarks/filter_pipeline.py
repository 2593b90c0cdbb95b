"""The filter as a whole: rows per second with one and two workers, kills, and memory over a million rows.

    python benchmarks/filter_pipeline.py speed  [--rows 40000] [--near]
    python benchmarks/filter_pipeline.py kill   [--rows 50000] [--kills 20]
    python benchmarks/filter_pipeline.py memory [--rows 100000 1000000] [--near]

Rows are worked solutions in the size of GSM8K's, about 300 words with their thought, made by a program of this
script's: no file of data is needed, and the filter's own speed is measured, not that of making rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from data_filters.files import write_jsonl
from data_filters.settings import (
    DataSettings,
    DuplicatesSettings,
    EngineSettings,
    NearDuplicatesSettings,
    Source,
)

_RUN = """
import sys
from pathlib import Path
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings
if __name__ == "__main__":
    figures = run_filter(DataSettings.model_validate_json(sys.argv[1]), [], Path(sys.argv[2]))
    print(figures.read, figures.kept)
"""
console = Console(highlight=False, soft_wrap=True)
_SECONDS = re.compile(rb'"seconds":[0-9.e-]+')
_NAMES = ("Ana", "Ben", "Chloe", "Dev", "Ella", "Finn", "Grace", "Hugo", "Iris", "Jack", "Kira", "Leo", "Mia")
_THINGS = (
    "apples",
    "books",
    "candles",
    "stamps",
    "marbles",
    "tickets",
    "pencils",
    "shells",
    "coins",
    "cards",
)
_PLACES = ("market", "school", "station", "library", "harbour", "museum", "bakery", "garden", "theatre")


def traces(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield word problems with thoughts of about 300 words; one in ten answers is wrong, one in twenty came before."""
    draw = random.Random(seed)
    before: dict[str, Any] | None = None
    for number in range(count):
        if before is not None and number % 20 == 19:
            yield before
            continue
        before = _trace(draw, wrong=number % 10 == 5)
        yield before


def _trace(draw: random.Random, wrong: bool) -> dict[str, Any]:
    name, other = draw.sample(_NAMES, 2)
    thing, place = draw.choice(_THINGS), draw.choice(_PLACES)
    numbers = [draw.randrange(2, 400) for _ in range(8)]
    question = f"{name} goes to the {place} with {numbers[0]} {thing}."
    total = numbers[0]
    steps = [
        f"First I read the question again. {name} starts with {total} {thing}, and I must find how many are left."
    ]
    for number in numbers[1:]:
        gets = draw.random() < 0.5 or total < number
        verb, sign = ("gets", "+") if gets else ("gives away", "-")
        after = total + number if gets else total - number
        question += f" {name} {verb} {number} {thing} at the {draw.choice(_PLACES)}."
        steps.append(
            f"Then {other} says that {name} {verb} {number} more of the {thing} in the {draw.choice(_PLACES)}, so the "
            f"count changes from {total}: {total} {sign} {number} = {after}. I keep {after} in mind for the next step."
        )
        total = after
    steps.append(
        f"Let me check the last step once more, since a slip there is easy. It holds. So the answer is {total}."
    )
    answer = total + 1 if wrong else total
    question += f" How many {thing} does {name} have now? Put the answer in \\boxed{{}}."
    return {
        "messages": [
            {"role": "user", "content": question},
            {
                "role": "assistant",
                "content": f"<think>\n{' '.join(steps)}\n</think>\n\nThe answer is \\boxed{{{answer}}}.",
            },
        ],
        "answer": str(total),
    }


def data_settings(rows: Path, workers: int, near: bool = False, tasks: int | None = None) -> DataSettings:
    """The recipe's section for one file of traces."""
    return DataSettings(
        sources=[Source(name="traces", path=str(rows), task="math")],
        duplicates=DuplicatesSettings(near=NearDuplicatesSettings() if near else None),
        engine=EngineSettings(workers=workers, tasks=tasks),
    )


def start(data: DataSettings, out: Path) -> subprocess.Popen[str]:
    """Run the filter in a process group of its own."""
    program = out.parent / "run.py"
    program.write_text(_RUN)
    return subprocess.Popen(
        [sys.executable, str(program), data.model_dump_json(), str(out)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a run and return what it prints; a run that fails ends this program."""
    printed, _ = process.communicate()
    if process.returncode:
        sys.exit(f"the filter ended with code {process.returncode}")
    return printed.strip()


def speed(folder: Path, rows: int, near: bool) -> None:
    """Print rows per second with one worker and with two, start-up and merge included."""
    write_jsonl(folder / "rows.jsonl", traces(rows))
    seconds = {}
    for workers in (1, 2):
        started = time.perf_counter()
        printed = finish(start(data_settings(folder / "rows.jsonl", workers, near), folder / f"out{workers}"))
        seconds[workers] = time.perf_counter() - started
        read, kept = printed.split()
        console.print(
            f"workers {workers}: {read} rows, {kept} kept, {seconds[workers]:.1f} s, "
            f"{rows / seconds[workers]:,.0f} rows/s"
        )
    console.print(f"two workers are {seconds[1] / seconds[2]:.2f} times as fast as one")


def kill(folder: Path, rows: int, kills: int, seed: int = 0) -> None:
    """Kill a run at random moments until it is through, and compare its files with those of an unbroken run."""
    draw = random.Random(seed)
    write_jsonl(folder / "rows.jsonl", traces(rows))
    data = data_settings(folder / "rows.jsonl", workers=2, tasks=40)
    started = time.perf_counter()
    finish(start(data, folder / "whole"))
    whole = time.perf_counter() - started
    console.print(f"unbroken: {whole:.1f} s")
    done = 0
    # Each run goes on where the one before was killed, so that the waits must be short to fit all kills in.
    while done < kills:
        process = start(data, folder / "killed")
        wait = draw.uniform(0.1, max(2.0, 2.5 * whole / kills))
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            shards = len(list((folder / "killed").glob("shards/*/[0-9]*")))
            console.print(f"kill {done}: after {wait:.2f} s, {shards} shards finished")
        else:
            console.print("a run came to its end; the next one starts over")
            compare(folder / "whole", folder / "killed")
    finish(start(data, folder / "killed"))
    compare(folder / "whole", folder / "killed")


def compare(whole: Path, killed: Path) -> None:
    """Print that two folders hold the same files, or end this program. The seconds of checks differ in any two runs."""
    for name in ("kept.jsonl", "rejected.jsonl", "verdicts.jsonl"):
        one, other = (_SECONDS.sub(b"", (folder / name).read_bytes()) for folder in (whole, killed))
        if one != other:
            sys.exit(f"{name} differs")
    figures = [json.loads((folder / "figures.json").read_text()) for folder in (whole, killed)]
    for found in figures:
        del found["seconds"]
    if figures[0] != figures[1]:
        sys.exit("figures.json differs")
    left = [entry.name for entry in killed.iterdir() if entry.name.startswith(".") or entry.name == "shards"]
    console.print(
        "same files as the unbroken run" + (f"; left behind: {left}" if left else ", nothing left behind")
    )


class MemoryWatch:
    """Samples the memory of a process and of all that it started, ten times a second."""

    def __init__(self, process: int) -> None:
        self.sum_peak = self.single_peak = 0
        self._process = psutil.Process(process)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                everyone = [self._process, *self._process.children(recursive=True)]
                # Shared pages count once for each process that has them: this is an upper bound.
                sizes = [process.memory_info().rss for process in everyone]
            except psutil.NoSuchProcess:
                if not self._process.is_running():
                    return
                continue
            self.sum_peak = max(self.sum_peak, sum(sizes))
            self.single_peak = max(self.single_peak, *sizes)
            time.sleep(0.1)


def memory(folder: Path, counts: list[int], near: bool) -> None:
    """Print time and peak memory of runs of several sizes with two workers."""
    for rows in counts:
        file, out = folder / f"rows-{rows}.jsonl", folder / f"out-{rows}"
        started = time.perf_counter()
        write_jsonl(file, traces(rows))
        made = time.perf_counter() - started
        started = time.perf_counter()
        process = start(data_settings(file, 2, near), out)
        watch = MemoryWatch(process.pid)
        finish(process)
        seconds = time.perf_counter() - started
        per_core = rows / seconds / 2
        console.print(
            f"{rows} rows (made in {made:.0f} s, {file.stat().st_size / 1e9:.2f} GB): {seconds:.0f} s, "
            f"{per_core:,.0f} rows/s per core; peak memory {watch.sum_peak / 1e6:.0f} MB in all, "
            f"{watch.single_peak / 1e6:.0f} MB in one process; five million rows on 64 cores at this speed: "
            f"{5e6 / per_core / 64:.0f} s"
        )


def main() -> None:
    """Run one of the three measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "kill", "memory"))
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--near", action="store_true", help="look for near duplicates too")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        match chosen.what:
            case "speed":
                speed(Path(folder), (chosen.rows or [40_000])[0], chosen.near)
            case "kill":
                kill(Path(folder), (chosen.rows or [50_000])[0], chosen.kills)
            case "memory":
                memory(Path(folder), chosen.rows or [100_000, 1_000_000], chosen.near)


if __name__ == "__main__":
    main()
