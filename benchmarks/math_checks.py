"""Math checks a second beside plain math-verify, on the same pairs, in one process on one core.

    python benchmarks/math_checks.py DATA [--rows 1000] [--json out.json]

DATA is a folder with gsm8k_labelled_solutions_6b.jsonl.gz, math500.jsonl and math_train.json.gz. Both sides get the
reference and a text, look for the answer in it, and compare; both are timed after they are imported and warm. Two
settings of math-verify are shown: its defaults, with an alarm around each call, and without time limits. What each side
decides is held against the truth: people's labels, or that a rewritten answer is right.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from math_rewrites import SAME, Case, cases, math_answers

from data_filters.samples import MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers.math import answers as math_check
from data_filters.verifiers.math import pool as math_pool

Judge = Callable[[Case], bool]
SETTINGS = VerifySettings()
_WARM_UP = 100


@dataclass(frozen=True)
class Workload:
    """Cases by name, and for each whether the answer is right."""

    name: str
    cases: list[Case]
    truth: list[bool]


@dataclass(frozen=True)
class Figures:
    """How fast one side judged one workload, and how often as the truth has it."""

    workload: str
    judge: str
    rows: int
    seconds: float
    rate: float
    agreement: float
    ratio: float


def gsm8k_labels(folder: Path, rows: int) -> Workload:
    """Two models' solutions of GSM8K problems with people's labels."""
    name = "GSM8K labelled solutions"
    found, truth = [], []
    with gzip.open(folder / "gsm8k_labelled_solutions_6b.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            gold = row["ground_truth"].rsplit("A:", 1)[1].strip()
            for model in ("6b_finetuning", "6b_verification"):
                found.append(Case(name, gold, row[model]["solution"]))
                truth.append(row[model]["is_correct"])
    return Workload(name, found[:rows], truth[:rows])


def human_solutions(folder: Path, rows: int) -> Workload:
    """MATH-500 answers against the whole human solutions."""
    name = "MATH answers, whole solutions"
    with (folder / "math500.jsonl").open(encoding="utf-8") as file:
        found = [Case(name, row["answer"], row["solution"]) for row in map(json.loads, file)]
    return Workload(name, found[:rows], [True] * len(found[:rows]))


def rewritten(folder: Path, rows: int) -> Workload:
    """MATH answers against other ways to write them, a random sample over all ways."""
    found = list(cases(math_answers(folder), SAME))
    random.Random(0).shuffle(found)
    return Workload("MATH answers, rewritten", found[:rows], [True] * len(found[:rows]))


def ours(case: Case) -> bool:
    """Whether this project's check verifies the text."""
    return math_check.check(MathTask(case.gold), case.content, None, SETTINGS).outcome == Outcome.VERIFIED


def library(seconds: int | None) -> Judge:
    """math-verify's own way: parse both, verify. `seconds` is its limit on each call, None for none."""
    from math_verify import parse, verify

    def judge(case: Case) -> bool:
        gold = parse(f"${case.gold}$", parsing_timeout=seconds)
        return bool(verify(gold, parse(case.content, parsing_timeout=seconds), timeout_seconds=seconds))

    return judge


def measure(workload: Workload, judge: str, decide: Judge, reference: float | None) -> Figures:
    """Judge every case once; `reference` is the rate that the ratio is taken of."""
    started = time.perf_counter()
    decided = [decide(case) for case in workload.cases]
    seconds = time.perf_counter() - started
    right = sum(one == other for one, other in zip(decided, workload.truth, strict=True))
    rate = len(decided) / seconds
    ratio = rate / reference if reference else 1.0
    return Figures(workload.name, judge, len(decided), seconds, rate, right / len(decided), ratio)


def compare(workloads: Sequence[Workload]) -> list[Figures]:
    """All workloads by all judges; ratios are to math-verify's defaults."""
    judges: dict[str, Judge] = {
        "math-verify": library(5),
        "math-verify, no limits": library(None),
        "ours": ours,
    }
    math_pool.shared_worker().start()
    found = []
    for workload in workloads:
        reference = None
        for name, decide in judges.items():
            for case in workload.cases[:_WARM_UP]:
                decide(case)
            found.append(measure(workload, name, decide, reference))
            reference = reference or found[-1].rate
    math_pool.close()
    return found


def table(figures: Sequence[Figures]) -> str:
    """The figures as Markdown."""
    lines = [
        "| workload | judge | rows | checks/s | ratio | agrees with the truth |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.workload} | {one.judge} | {one.rows} | {one.rate:,.0f} | {one.ratio:.1f} | {one.agreement:.2%} |"
        for one in figures
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of math data")
    parser.add_argument("--rows", type=int, default=2638, help="rows of each workload")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    makers = (gsm8k_labels, human_solutions, rewritten)
    figures = compare([make(options.data, options.rows) for make in makers])
    print(table(figures))  # noqa: T201 - the table is what the script is for
    if options.json:
        options.json.write_text(
            json.dumps([asdict(one) for one in figures], indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
