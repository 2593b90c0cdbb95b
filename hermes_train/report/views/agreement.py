"""Part of section 3: what each check found, by which rules rows were accepted, and labels against verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data_filters.figures import LAYER_ON, FilterFigures, LabelFigures, RejectedExample
from data_filters.samples import Outcome
from hermes_train.report.notation import brief, count, duration, part_of, percent

OUTCOMES = (Outcome.VERIFIED, Outcome.REFUTED, Outcome.UNVERIFIED, Outcome.FAILED)


@dataclass(frozen=True)
class OutcomeRow:
    """How many rows came to each outcome, in the order of OUTCOMES."""

    name: str
    rows: str
    outcomes: tuple[str, ...]


@dataclass(frozen=True)
class CheckRow:
    """What one check found, and the time it took in all and for one row."""

    found: OutcomeRow
    time: str
    time_per_row: str


@dataclass(frozen=True)
class LabelRow:
    """The labelled rows of one source: the four corners of the table, the undecided rest, and the agreement."""

    source: str
    right_verified: str
    right_refuted: str
    wrong_verified: str
    wrong_refuted: str
    undecided: str
    agreement: str
    """Share of the decided rows on which verdict and label agree."""


@dataclass(frozen=True)
class AgreementView:
    """Tables on what the checks found and how far it can be trusted."""

    checks: tuple[CheckRow, ...]
    kinds: tuple[OutcomeRow, ...]
    rules: tuple[tuple[str, str], ...]
    labels: tuple[LabelRow, ...]
    disputes: tuple[RejectedExample, ...]


def agreement_view(figures: FilterFigures) -> AgreementView:
    """Return the tables of a finished filter stage; those without rows are empty."""
    slowest = sorted(figures.checks, key=lambda name: (-figures.seconds.get(name, 0.0), name))
    commonest = sorted(figures.rules.items(), key=lambda rule: (-rule[1], rule[0]))
    return AgreementView(
        checks=tuple(_check(name, figures) for name in slowest),
        kinds=tuple(_outcomes(kind, found) for kind, found in sorted(figures.kinds.items())),
        rules=tuple((name, count(number)) for name, number in commonest),
        labels=tuple(_label(source, found) for source, found in figures.labels.items()),
        disputes=tuple(figures.label_disputes),
    )


def sandbox_finding(figures: FilterFigures) -> str | None:
    """Return a sentence on the layers that held the programs of code rows; None where no program was run."""
    if not figures.sandbox:
        return None
    off = [f"{layer} ({state})" for layer, state in figures.sandbox.items() if state != LAYER_ON]
    if not off:
        return f"Programs ran with all {len(figures.sandbox)} layers of the sandbox on."
    return f"Programs ran without these layers of the sandbox: {', '.join(off)}."


def _check(name: str, figures: FilterFigures) -> CheckRow:
    found, seconds = figures.checks[name], figures.seconds.get(name)
    rows = sum(found.values())
    per_row = None if seconds is None or not rows else seconds / rows
    return CheckRow(_outcomes(name, found), duration(seconds), brief(per_row))


def _outcomes(name: str, found: Mapping[str, int]) -> OutcomeRow:
    return OutcomeRow(
        name, count(sum(found.values())), tuple(count(found.get(outcome, 0)) for outcome in OUTCOMES)
    )


def _label(source: str, found: LabelFigures) -> LabelRow:
    decided = found.agreeing + found.opposed
    labelled = sum(found.right.values()) + sum(found.wrong.values())
    return LabelRow(
        source=source,
        right_verified=count(found.right.get(Outcome.VERIFIED, 0)),
        right_refuted=count(found.right.get(Outcome.REFUTED, 0)),
        wrong_verified=count(found.wrong.get(Outcome.VERIFIED, 0)),
        wrong_refuted=count(found.wrong.get(Outcome.REFUTED, 0)),
        undecided=count(labelled - decided),
        agreement=percent(part_of(found.agreeing, decided)),
    )
