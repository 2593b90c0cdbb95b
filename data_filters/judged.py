"""A judged row on its way from a shard to the output files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from data_filters.formats import RowError
from data_filters.samples import Check, Outcome, Sample, Verdict


class JudgedRow(msgspec.Struct):
    """One row of a source with its verdict.

    `sample` is None when the row could not be read; `row` or `line` then shows it.
    """

    position: int
    """The source's place in the recipe; rows are put out by (position, number)."""
    number: int
    """The row's place in its source, from 0."""
    source: str
    verdict: Verdict
    kept: bool = False
    sample: Sample | None = None
    row: dict[str, Any] | None = None
    line: str = ""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds by check."""

    def reject(self, check: Check) -> None:
        """Take the row out for what `check` found; the outcome of the answer's own checks stays."""
        self.kept = False
        self.verdict.checks.append(check)
        self.verdict.reason = check.reason


def shard_file(folder: Path, task: int) -> Path:
    """Where the judged rows of a task lie."""
    return folder / f"{task:05d}.jsonl"


def unreadable_row(
    position: int, number: int, source: str, error: RowError, row: dict[str, Any] | None
) -> JudgedRow:
    """The rejection of a row that could not be read as a sample.

    Nothing is known about its answer, so that the outcome is unverified.
    """
    check = Check("row", Outcome.REFUTED, error.reason, error.detail)
    verdict = Verdict(f"{source}/{number}", Outcome.UNVERIFIED, error.reason, [check])
    return JudgedRow(position, number, source, verdict, row=row, line=error.line)


def rejected_record(judged: JudgedRow) -> dict[str, Any]:
    """One line of rejected.jsonl: the verdict, and the sample, row or line as far as it was read."""
    if judged.sample is not None:
        return {"sample": judged.sample, "verdict": judged.verdict}
    shown = {"row": judged.row} if judged.row is not None else {"line": judged.line}
    return {**shown, "source": judged.source, "verdict": judged.verdict}
