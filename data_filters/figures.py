"""What a filter run did, in numbers: the funnel, planted faults against caught ones, time, and examples."""

from __future__ import annotations

from typing import Any

import msgspec

from data_filters.samples import Outcome, Sample, Verdict

EXAMPLES_PER_REASON = 3
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
