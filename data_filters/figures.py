"""What a filter run did, in numbers: the funnel, planted faults against caught ones, time, and examples."""

from __future__ import annotations

from typing import Any

import msgspec

from data_filters.formats import LABEL
from data_filters.judged import JudgedRow
from data_filters.samples import TASK, Check, Outcome, Sample, Verdict

EXAMPLES_PER_REASON = 3
LAYER_ON = "on"
DISPUTES_SHOWN = 20
_EXAMPLE_CHARACTERS = 600
_FAULT_KINDS = 100
OTHER_FAULTS = "other kinds"
"""Where planted faults are counted once there are too many kinds of them."""


class SourceFunnel(msgspec.Struct):
    """The rows of one source: read = kept + the sum of rejected."""

    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    """Rejected rows by reason, those whose check broke among them."""
    failed: dict[str, int] = msgspec.field(default_factory=dict)
    """Of the rejected rows, those whose check broke: nothing is known about their answers."""

    def merge(self, later: SourceFunnel) -> None:
        """Add the counts of the rows that follow."""
        self.read += later.read
        self.kept += later.kept
        _add_counts(self.rejected, later.rejected)
        _add_counts(self.failed, later.failed)


class FaultFigures(msgspec.Struct):
    """Rows with one kind of planted fault: how many there were, and how many were rejected, by reason."""

    planted: int = 0
    caught: int = 0
    caught_by: dict[str, int] = msgspec.field(default_factory=dict)

    def merge(self, later: FaultFigures) -> None:
        """Add the counts of the rows that follow."""
        self.planted += later.planted
        self.caught += later.caught
        _add_counts(self.caught_by, later.caught_by)


class LabelFigures(msgspec.Struct):
    """The rows of one source that bring a label, by what the verdict says of them."""

    right: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows labelled right, by outcome."""
    wrong: dict[str, int] = msgspec.field(default_factory=dict)
    """Rows labelled wrong, by outcome."""

    def merge(self, later: LabelFigures) -> None:
        """Add the counts of the rows that follow."""
        _add_counts(self.right, later.right)
        _add_counts(self.wrong, later.wrong)

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
    sandbox: dict[str, str] = msgspec.field(default_factory=dict)
    """For each layer of the sandbox "on", or why it was off in one of the workers; empty where no program was run."""
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

    def add_row(self, judged: JudgedRow, is_synthetic: bool) -> None:
        """Count one judged row and the time it took."""
        shown = "" if judged.sample is not None else judged.shown
        self.add(judged.source, judged.kept, judged.verdict, judged.sample, is_synthetic, shown)
        for name, seconds in judged.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def reject_kept(
        self, source: str, sample: Sample, verdict: Verdict, check: Check, is_synthetic: bool
    ) -> None:
        """Take one row out that was counted as kept; `verdict` already has the `check` that found it."""
        self.kept -= 1
        self.sources[source].kept -= 1
        _count(self.checks.setdefault(check.name, {}), check.outcome)
        kind = _fault_kind(sample)
        if kind is not None:
            fault = self._fault(kind)
            fault.caught += 1
            _count(fault.caught_by, check.reason)
        elif is_synthetic:
            _count(self.clean_rejected, check.reason)
        self._add_rejected(source, verdict, sample, "")

    def merge(self, later: FilterFigures) -> None:
        """Add the figures of the rows that follow."""
        self.read += later.read
        self.kept += later.kept
        self.clean_read += later.clean_read
        for mine, its in (
            (self.clean_rejected, later.clean_rejected),
            (self.rules, later.rules),
        ):
            _add_counts(mine, its)
        for name, seconds in later.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        for name, funnel in later.sources.items():
            self._funnel(name).merge(funnel)
        for name, fault in later.faults.items():
            self._fault(name).merge(fault)
        for name, label in later.labels.items():
            self.labels.setdefault(name, LabelFigures()).merge(label)
        for tables, its_tables in ((self.checks, later.checks), (self.kinds, later.kinds)):
            for name, counts in its_tables.items():
                _add_counts(tables.setdefault(name, {}), counts)
        for layer, state in later.sandbox.items():
            if self.sandbox.get(layer, LAYER_ON) == LAYER_ON:
                self.sandbox[layer] = state
        self.label_disputes += later.label_disputes[: DISPUTES_SHOWN - len(self.label_disputes)]
        for reason, examples in later.examples.items():
            mine_shown = self.examples.setdefault(reason, [])
            mine_shown += examples[: EXAMPLES_PER_REASON - len(mine_shown)]

    def add(
        self, source: str, kept: bool, verdict: Verdict, sample: Sample | None, is_synthetic: bool, line: str
    ) -> None:
        """Count one row. `sample` is None for a row that could not be read; `line` then shows it."""
        funnel = self._funnel(source)
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
        self._add_rejected(source, verdict, sample, line)

    def _funnel(self, source: str) -> SourceFunnel:
        return self.sources.setdefault(source, SourceFunnel())

    def _fault(self, kind: str) -> FaultFigures:
        # The kind is any text that a row brings: a bound on the number of kinds bounds the memory.
        if kind not in self.faults and len(self.faults) >= _FAULT_KINDS:
            kind = OTHER_FAULTS
        return self.faults.setdefault(kind, FaultFigures())

    def _add_rejected(self, source: str, verdict: Verdict, sample: Sample | None, line: str) -> None:
        funnel = self._funnel(source)
        _count(funnel.rejected, verdict.reason)
        if verdict.outcome == Outcome.FAILED:
            _count(funnel.failed, verdict.reason)
        examples = self.examples.setdefault(verdict.reason, [])
        if len(examples) < EXAMPLES_PER_REASON:
            examples.append(_example(source, verdict, sample, line))

    def _add_fault(self, kept: bool, reason: str, sample: Sample | None, is_synthetic: bool) -> None:
        kind = _fault_kind(sample) if sample is not None else None
        if kind is not None:
            fault = self._fault(kind)
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


def _fault_kind(sample: Sample) -> str | None:
    kind = sample.meta.get("fault")
    return kind if isinstance(kind, str) and kind else None


def _add_counts(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


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
