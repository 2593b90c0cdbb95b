"""What a filter run did, in numbers: the funnel, planted faults against caught ones, time, and examples."""

from __future__ import annotations

from typing import Any

import msgspec

from data_filters.formats import LABEL
from data_filters.samples import TASK, Outcome, Sample, Verdict

EXAMPLES_PER_REASON = 3
DISPUTES_SHOWN = 20
_EXAMPLE_CHARACTERS = 600


class SourceFunnel(msgspec.Struct):
    """The rows of one source: read = kept + the sum of rejected."""

    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    """Rejected rows by reason, those whose check broke among them."""
    failed: dict[str, int] = msgspec.field(default_factory=dict)
    """Of the rejected rows, those whose check broke: nothing is known about their answers."""


class FaultFigures(msgspec.Struct):
    """Rows with one kind of planted fault: how many there were, and how many were rejected, by reason."""

    planted: int = 0
    caught: int = 0
    caught_by: dict[str, int] = msgspec.field(default_factory=dict)


class LabelFigures(msgspec.Struct):
    """The rows of one source that bring a label, by what the verdict says of them."""

    right: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows labelled right, by outcome."""
    wrong: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows labelled wrong, by outcome."""

    @property
    def agreeing(self) -> int:
        """Rows whose verdict says what the label says."""
        return self.right.get(Outcome.VERIFIED, 0) + self.wrong.get(Outcome.REFUTED, 0)

    @property
    def opposed(self) -> int:
        """Rows whose verdict says the opposite; the others are undecided."""
        return self.right.get(Outcome.REFUTED, 0) + self.wrong.get(Outcome.VERIFIED, 0)


class RejectedExample(msgspec.Struct):
    """A rejected row for people to look at; long texts are cut."""

    id: str
    source: str
    prompt: str
    answer: str
    detail: str


class FilterFigures(msgspec.Struct):
    """The figures of one filter run."""

    read: int = 0
    kept: int = 0
    sources: dict[str, SourceFunnel] = msgspec.field(default_factory=dict)
    faults: dict[str, FaultFigures] = msgspec.field(default_factory=dict)
    """Planted faults by kind."""
    clean_read: int = 0
    """Program-made rows without a planted fault."""
    clean_rejected: dict[str, int] = msgspec.field(default_factory=dict)
    """Of those, the rejected ones by reason: false alarms, unless the maker of rows is wrong."""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds of work by check, summed over the workers."""
    checks: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Rows by check and by what it found."""
    kinds: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Rows by kind of task and by the verdict's outcome."""
    rules: dict[str, int] = msgspec.field(default_factory=dict)
    """Verified rows by the rule that their task's check accepted them under."""
    labels: dict[str, LabelFigures] = msgspec.field(default_factory=dict)
    """Labels against verdicts, by source."""
    label_disputes: list[RejectedExample] = msgspec.field(default_factory=list)
    """The first few rows whose verdict says the opposite of their label."""
    examples: dict[str, list[RejectedExample]] = msgspec.field(default_factory=dict)
    """The first few rejected rows of each reason."""

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected rows of all sources by reason."""
        total: dict[str, int] = {}
        for funnel in self.sources.values():
            for reason, count in funnel.rejected.items():
                total[reason] = total.get(reason, 0) + count
        return total

    def to_dict(self) -> dict[str, Any]:
        """These figures as plain JSON values, with `rejected` over all sources added."""
        return {**msgspec.to_builtins(self), "rejected": self.rejected}

    def add(
        self, source: str, kept: bool, verdict: Verdict, sample: Sample | None, is_synthetic: bool, line: str
    ) -> None:
        """Count one row. `sample` is None for a row that could not be read; `line` then shows it."""
        funnel = self.sources.setdefault(source, SourceFunnel())
        self.read += 1
        funnel.read += 1
        self._add_fault(kept, verdict.reason, sample, is_synthetic)
        self._add_checks(verdict)
        if sample is not None:
            self._add_task(sample, verdict)
            self._add_label(source, sample, verdict)
        if kept:
            self.kept += 1
            funnel.kept += 1
            return
        _count(funnel.rejected, verdict.reason)
        if verdict.outcome == Outcome.FAILED:
            _count(funnel.failed, verdict.reason)
        examples = self.examples.setdefault(verdict.reason, [])
        if len(examples) < EXAMPLES_PER_REASON:
            examples.append(_example(source, verdict, sample, line))

    def _add_fault(self, kept: bool, reason: str, sample: Sample | None, is_synthetic: bool) -> None:
        kind = sample.meta.get("fault") if sample is not None else None
        if isinstance(kind, str) and kind:
            fault = self.faults.setdefault(kind, FaultFigures())
            fault.planted += 1
            if not kept:
                fault.caught += 1
                _count(fault.caught_by, reason)
        elif is_synthetic:
            self.clean_read += 1
            if not kept:
                _count(self.clean_rejected, reason)

    def _add_checks(self, verdict: Verdict) -> None:
        for check in verdict.checks:
            _count(self.checks.setdefault(check.name, {}), check.outcome)

    def _add_task(self, sample: Sample, verdict: Verdict) -> None:
        kind = "none" if sample.task is None else str(type(sample.task).__struct_config__.tag)
        _count(self.kinds.setdefault(kind, {}), verdict.outcome)
        if verdict.outcome == Outcome.VERIFIED:
            for check in verdict.checks:
                if check.name == TASK:
                    _count(self.rules, check.reason)

    def _add_label(self, source: str, sample: Sample, verdict: Verdict) -> None:
        label = sample.meta.get(LABEL)
        if not isinstance(label, bool):
            return
        found = self.labels.setdefault(source, LabelFigures())
        _count(found.right if label else found.wrong, verdict.outcome)
        opposite = Outcome.REFUTED if label else Outcome.VERIFIED
        if verdict.outcome == opposite and len(self.label_disputes) < DISPUTES_SHOWN:
            self.label_disputes.append(_example(source, verdict, sample, ""))


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def _example(source: str, verdict: Verdict, sample: Sample | None, line: str) -> RejectedExample:
    detail = next((check.detail for check in reversed(verdict.checks) if check.detail), "")
    if sample is None:
        return RejectedExample(verdict.id, source, "", line[:_EXAMPLE_CHARACTERS], detail)
    answer = sample.answer
    text = (
        answer.content if answer.reasoning is None else f"<think>{answer.reasoning}</think>{answer.content}"
    )
    prompt = next((message.content for message in reversed(sample.prompt) if message.role == "user"), "")
    return RejectedExample(verdict.id, source, prompt[:_EXAMPLE_CHARACTERS], _shortened(text), detail)


def _shortened(text: str) -> str:
    """The beginning and the end of a long text: faults sit at either."""
    if len(text) <= _EXAMPLE_CHARACTERS:
        return text
    half = _EXAMPLE_CHARACTERS // 2
    return f"{text[:half]} … {text[-half:]}"
