"""Code checks per second on one core with all layers of the sandbox, beside bare Python processes without any.

    python benchmarks/code_runs.py HUMANEVAL.jsonl.gz [--problems N] [--rounds N] [--json FILE]

All sides judge the same HumanEval reference solutions by the same tests, one after another, in turns, pinned to one
core. `as it verifies` is what the filter does: tests that only write values out as calls in one isolated process, all
others in a second one beside the candidate's. `tests together` does the same work as the bare process, program and
tests in one process, but isolated. The bare process gets them on the
standard input of `python -I -S`. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.samples import CodeTask, Outcome, Sample
from data_filters.sandbox import pool
from data_filters.sandbox.runs import Limits
from data_filters.settings import CodeSettings, Source
from data_filters.verifiers import code

SETTINGS = CodeSettings()
LIMITS = Limits(cpu_seconds=SETTINGS.seconds)


def checked(sample: Sample) -> bool:
    """Judge a reference solution as the filter does."""
    assert isinstance(sample.task, CodeTask)
    return code.check(sample.task, sample.answer.content, SETTINGS).outcome == Outcome.VERIFIED


def run_bare(sample: Sample) -> bool:
    """Run program and tests together in a fresh process."""
    task = sample.task
    assert isinstance(task, CodeTask)
    program = sample.answer.content.removeprefix("```python\n").removesuffix("```")
    whole = f"{program}\n{task.tests}\ncheck({task.entry_point})\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-"], input=whole.encode(), capture_output=True, check=False
    )
    return done.returncode == 0


def run_together(sample: Sample) -> bool:
    """Run program and tests together in one isolated process."""
    task = sample.task
    assert isinstance(task, CodeTask)
    job = {
        "setup": "",
        "code": sample.answer.content.removeprefix("```python\n").removesuffix("```"),
        "tests": task.tests,
        "entry_point": task.entry_point,
    }
    with pool.shared_sandbox("candidates").start("data_filters.sandbox.harness.together", LIMITS) as inmate:
        inmate.send(json.dumps(job).encode())
        verdict = inmate.receive()
        inmate.wait()
    return verdict == b"passed\n"


BARE = "python -I -S, no isolation"
SIDES: dict[str, Callable[[Sample], bool]] = {
    "hermes-train, as it verifies": checked,
    "hermes-train, tests together": run_together,
    BARE: run_bare,
}


def seconds(run: Callable[[Sample], bool], samples: list[Sample]) -> float:
    """Time for all samples. Raises RuntimeError when a side does not verify one."""
    started = time.perf_counter()
    wrong = [sample.id for sample in samples if not run(sample)]
    if wrong:
        raise RuntimeError(f"not verified: {', '.join(wrong[:5])}")
    return time.perf_counter() - started


def measure(samples: list[Sample], rounds: int) -> dict[str, float]:
    """Runs per second of each side, the best of `rounds` turns."""
    checked(samples[0])
    best = dict.fromkeys(SIDES, float("inf"))
    for _ in range(rounds):
        for name, run in SIDES.items():
            best[name] = min(best[name], seconds(run, samples))
    return {name: len(samples) / taken for name, taken in best.items()}


def missing_layers() -> list[str]:
    """The layers that this machine does not offer."""
    return sorted(layer for layer, reason in pool.probe().items() if reason)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("humaneval", type=Path)
    parser.add_argument("--problems", type=int, default=164)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    source = Source(name="humaneval", path=str(arguments.humaneval), rows=arguments.problems)
    samples = [parse_row(row, source, number) for number, row in read_rows(source)]

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    missing = missing_layers()
    rates = measure(samples, arguments.rounds)
    pool.close()

    bare = rates[BARE]
    table = Table("", "runs/s on one core", "times", title=f"{len(samples)} HumanEval solutions")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:.0f}", f"{rate / bare:.2f}")
    console = Console()
    console.print(table)
    console.print(f"layers off: {', '.join(missing) or 'none'}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"runs_per_second": rates, "layers_off": missing}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
