"""What a sandboxed run costs, layer by layer, beside a plain `python3 -I -S` that holds nothing back.

    python benchmarks/sandbox.py [--runs 300] [--json FILE]

Every row runs the same small program. `wall` is the time from the caller's order to the program's end, one run after
another; `cpu` is the processor time of caller, server and program together, which a busy machine changes less.
The ways are taken in turns, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_filters.sandbox.layers import Layer
from data_filters.sandbox.pool import Sandbox
from data_filters.sandbox.runs import Ending, Limits

PROGRAM = """
def reversed_numbers(count):
    return sorted(str(number)[::-1] for number in range(count))

assert len(reversed_numbers(100)) == 100
"""
HARNESS = "data_filters.sandbox.harness.script"
ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """Milliseconds for one run: the median of the rounds."""

    way: str
    wall: float
    cpu: float


def run_in(sandbox: Sandbox) -> None:
    with sandbox.start(HARNESS, Limits()) as inmate:
        inmate.send(json.dumps({"setup": "", "code": PROGRAM, "input": ""}).encode())
        raised = inmate.receive()
        ended = inmate.wait()
    if raised is not None or ended.ending != Ending.FINISHED:
        raise SystemExit(f"the program did not run: {raised} {ended}")


def run_plain() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-"], input=PROGRAM.encode(), check=True)


def sandboxed(without: frozenset[Layer], runs: int) -> tuple[float, float]:
    """Seconds for so many runs on the wall and on the processors; a server's start is measured apart and taken off."""

    def work(count: int) -> float:
        with Sandbox(without=without) as sandbox:
            run_in(sandbox)
            started = time.perf_counter()
            for _ in range(count):
                run_in(sandbox)
            return time.perf_counter() - started

    _, start_cpu = measured(lambda: work(0))
    wall, cpu = measured(lambda: work(runs))
    return wall, cpu - start_cpu


def plain(runs: int) -> tuple[float, float]:
    def work() -> float:
        started = time.perf_counter()
        for _ in range(runs):
            run_plain()
        return time.perf_counter() - started

    return measured(work)


def measured(work: Callable[[], float]) -> tuple[float, float]:
    """What the work says of its time, and the processor time of this process and its ended children."""
    before = processor_seconds()
    wall = work()
    return wall, processor_seconds() - before


def processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def costs(runs: int) -> list[Cost]:
    """Each way's cost, over several rounds."""
    ways: dict[str, Callable[[int], tuple[float, float]]] = {
        "python3 -I -S, nothing held back": plain,
        "all layers": lambda count: sandboxed(frozenset(), count),
        "no layer": lambda count: sandboxed(frozenset(Layer), count),
    }
    for layer in Layer:
        ways[f"all but {layer}"] = lambda count, layer=layer: sandboxed(frozenset({layer}), count)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, run in ways.items():
            count = max(1, runs // ROUNDS)
            wall, cpu = run(count)
            found[way].append((wall / count * 1000, cpu / count * 1000))
    return [
        Cost(way, *(statistics.median(column) for column in zip(*rows, strict=True)))
        for way, rows in found.items()
    ]


def start_milliseconds() -> float:
    """Median time to start a server and run the first program in it."""

    def start() -> float:
        started = time.perf_counter()
        with Sandbox() as sandbox:
            run_in(sandbox)
            return (time.perf_counter() - started) * 1000

    return statistics.median(start() for _ in range(ROUNDS))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300, help="runs of each way")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with Sandbox() as sandbox:
        missing = sandbox.missing
    found, start = costs(options.runs), start_milliseconds()
    base = found[0]
    table = Table("", "wall ms", "cpu ms", "runs per cpu second", "times")
    for cost in found:
        figures = (
            f"{cost.wall:.2f}",
            f"{cost.cpu:.2f}",
            f"{1000 / cost.cpu:.0f}",
            f"{base.cpu / cost.cpu:.1f}",
        )
        table.add_row(cost.way, *figures)
    console = Console()
    console.print(table)
    console.print(f"start of a server: {start:.0f} ms")
    for layer, reason in missing.items():
        console.print(f"off on this machine: {layer}: {reason}")
    if options.json is not None:
        report = {"start_ms": start, "missing": missing, "costs": [asdict(cost) for cost in found]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
