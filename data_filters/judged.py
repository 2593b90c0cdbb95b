"""A judged row on its way from a shard to the output files."""

from __future__ import annotations

from typing import Any

import msgspec

from data_filters.row_fields import RowError
from data_filters.samples import Check, Outcome, Sample, Verdict


class JudgedRow(msgspec.Struct):
    """One row of a source with its verdict.

    `sample` is None when the row could not be read; `row` or `line` then shows it.
    """

    source: str
    verdict: Verdict
    kept: bool = False
    pending: bool = False
    """Whether other rows decide on this one; it is not kept then."""
    sample: Sample | None = None
    row: dict[str, Any] | None = None
    line: str = ""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds by check."""

    @property
    def shown(self) -> str:
        """The row or line as it was read, where it could not be read as a sample."""
        return self.line if self.row is None else msgspec.json.encode(self.row).decode()

    def decide(self, check: Check) -> None:
        """Let `check` say what becomes of a pending row, in place of the check of its name that did not."""
        self.pending = False
        self.verdict.checks = [*(found for found in self.verdict.checks if found.name != check.name), check]
        self.verdict.outcome, self.verdict.reason = check.outcome, check.reason

    def reject(self, check: Check) -> None:
        """Take the row out for what `check` found; the outcome of the answer's own checks stays."""
        self.kept = self.pending = False
        self.verdict.checks.append(check)
        self.verdict.reason = check.reason


def unreadable_row(number: int, source: str, error: RowError, row: dict[str, Any] | None) -> JudgedRow:
    """The rejection of the row of this number in its source, which could not be read as a sample.

    Nothing is known about its answer, so that the outcome is unverified.
    """
    check = Check("row", Outcome.REFUTED, error.reason, error.detail)
    verdict = Verdict(f"{source}/{number}", Outcome.UNVERIFIED, error.reason, [check])
    return JudgedRow(source, verdict, row=row, line=error.line)


def rejected_record(judged: JudgedRow) -> dict[str, Any]:
    """One line of rejected.jsonl: the verdict, and the sample, row or line as far as it was read."""
    if judged.sample is not None:
        return {"sample": judged.sample, "verdict": judged.verdict}
    shown = {"row": judged.row} if judged.row is not None else {"line": judged.line}
    return {**shown, "source": judged.source, "verdict": judged.verdict}
