"""Section 3: what the filter read, kept and rejected, and how many planted faults it caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from data_filters.figures import FaultFigures, FilterFigures, RejectedExample, SourceFunnel
from hermes_train.report.charts import Part, stacked_bar
from hermes_train.report.notation import count, part_of, percent
from hermes_train.report.views.agreement import AgreementView, agreement_view, sandbox_finding

REASON_TONES = 8
"""Reasons with a colour of their own; rarer ones share the last."""


@dataclass(frozen=True)
class Reason:
    """One reason for rejection: its colour and its rows per source and in all."""

    name: str
    tone: str
    per_source: tuple[str, ...]
    total: str


@dataclass(frozen=True)
class SourceView:
    """One source's way through the filter."""

    name: str
    read: str
    kept: str
    rejected: str
    kept_share: str
    bar: Markup


@dataclass(frozen=True)
class FaultView:
    """Planted against caught for one fault."""

    name: str
    planted: str
    caught: str
    share: str
    missed: int
    bar: Markup
    caught_by: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FunnelView:
    """The section on the data funnel."""

    findings: tuple[str, ...]
    sources: tuple[SourceView, ...]
    total: SourceView
    reasons: tuple[Reason, ...]
    faults: tuple[FaultView, ...]
    examples: tuple[tuple[str, tuple[RejectedExample, ...]], ...]
    agreement: AgreementView


def funnel_view(figures: FilterFigures) -> FunnelView:
    """Return the section for a finished filter stage."""
    total = _sum(tuple(figures.sources.values()))
    tones = _tones(total)
    most_planted = max((fault.planted for fault in figures.faults.values()), default=0)
    return FunnelView(
        findings=_findings(figures, total),
        sources=tuple(_source(name, source, tones) for name, source in figures.sources.items()),
        total=_source("All sources", total, tones),
        reasons=tuple(
            _reason(name, tone, tuple(figures.sources.values()), total) for name, tone in tones.items()
        ),
        faults=tuple(_fault(name, fault, most_planted) for name, fault in figures.faults.items()),
        examples=tuple((reason, tuple(rows)) for reason, rows in figures.examples.items() if rows),
        agreement=agreement_view(figures),
    )


def _sum(sources: Sequence[SourceFunnel]) -> SourceFunnel:
    rejected: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for source in sources:
        rejected.update(source.rejected)
        failed.update(source.failed)
    return SourceFunnel(
        read=sum(source.read for source in sources),
        kept=sum(source.kept for source in sources),
        rejected=dict(rejected),
        failed=dict(failed),
    )


def _tones(total: SourceFunnel) -> dict[str, str]:
    """Give each reason a colour, the commonest first."""
    names = sorted(total.rejected, key=lambda name: (-total.rejected[name], name))
    return {name: f"reason-{min(index, REASON_TONES)}" for index, name in enumerate(names)}


def _findings(figures: FilterFigures, total: SourceFunnel) -> tuple[str, ...]:
    share = percent(part_of(total.kept, total.read))
    found = [
        f"Of {count(total.read)} rows read, {_were(total.kept)} kept ({share}); "
        "each rejected row has a reason."
    ]
    failed = sum(total.failed.values())
    if failed:
        found.append(f"For {count(failed)} of them the check itself broke, which says nothing about the row.")
    if figures.faults:
        planted = sum(fault.planted for fault in figures.faults.values())
        caught = sum(fault.caught for fault in figures.faults.values())
        found.append(f"Of {count(planted)} planted faults, {_were(caught)} caught.")
    if figures.clean_read:
        false_alarms = sum(figures.clean_rejected.values())
        clean = count(figures.clean_read)
        found.append(f"Of {clean} rows made without a fault, {_were(false_alarms)} rejected.")
    sandbox = sandbox_finding(figures)
    return (*found, sandbox) if sandbox is not None else tuple(found)


def _were(number: int) -> str:
    if number == 1:
        return "1 was"
    return f"{count(number) if number else 'none'} were"


def _source(name: str, source: SourceFunnel, tones: dict[str, str]) -> SourceView:
    rejected = [(reason, source.rejected.get(reason, 0)) for reason in tones]
    parts = [
        Part(source.kept, "kept", f"kept: {count(source.kept)}"),
        *(Part(number, tones[reason], f"{reason}: {count(number)}") for reason, number in rejected if number),
    ]
    told = f"{name}: " + ", ".join(part.label for part in parts)
    return SourceView(
        name=name,
        read=count(source.read),
        kept=count(source.kept),
        rejected=count(source.read - source.kept),
        kept_share=percent(part_of(source.kept, source.read)),
        bar=Markup(stacked_bar(parts, source.read, told)),
    )


def _reason(name: str, tone: str, sources: Sequence[SourceFunnel], total: SourceFunnel) -> Reason:
    per_source = tuple(count(source.rejected.get(name, 0)) for source in sources)
    return Reason(name, tone, per_source, count(total.rejected[name]))


def _fault(name: str, fault: FaultFigures, most_planted: int) -> FaultView:
    missed = fault.planted - fault.caught
    parts = [
        Part(fault.caught, "caught", f"caught: {count(fault.caught)}"),
        Part(missed, "missed", f"missed: {count(missed)}"),
    ]
    caught_by = sorted(fault.caught_by.items(), key=lambda reason: (-reason[1], reason[0]))
    return FaultView(
        name=name,
        planted=count(fault.planted),
        caught=count(fault.caught),
        share=percent(part_of(fault.caught, fault.planted)),
        missed=missed,
        bar=Markup(stacked_bar(parts, most_planted, f"{name}: {parts[0].label}, {parts[1].label}")),
        caught_by=tuple((reason, count(number)) for reason, number in caught_by),
    )
