"""The head of the page: what the run is, how far it has come, and its figures in large type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from data_filters.figures import FilterFigures
from data_filters.samples import Mode
from hermes_train.evaluation.scores import ModeScore
from hermes_train.report.charts import Part, level, stacked_bar
from hermes_train.report.load import Progress, Run
from hermes_train.report.notation import NOTHING, count, duration, moment, part_of, percent
from hermes_train.report.records import PackFigures
from hermes_train.runs import STAGES


@dataclass(frozen=True)
class Fact:
    """A name and its value, as text."""

    name: str
    value: str


@dataclass(frozen=True)
class StageView:
    """One stage of the strip below the title."""

    name: str
    progress: Progress
    took: str
    tone: str
    finished: str


@dataclass(frozen=True)
class Headline:
    """One large figure; `before` is empty where there is nothing to compare with."""

    name: str
    value: str
    note: str
    before: str = ""
    bar: Markup | None = None


@dataclass(frozen=True)
class Overview:
    """The head of the page."""

    name: str
    description: str
    facts: tuple[Fact, ...]
    versions: tuple[Fact, ...]
    stages: tuple[StageView, ...]
    stages_done: int
    total_time: str
    time_bar: Markup | None
    headlines: tuple[Headline, ...]


def overview(run: Run) -> Overview:
    """Return the head of the page for a run, finished or not."""
    card = run.card
    seconds = {stage: _seconds(run, stage) for stage in run.manifests}
    return Overview(
        name=card.name if card else run.folder_name,
        description=card.description if card else "",
        facts=_facts(run),
        versions=tuple(Fact(name, version) for name, version in card.versions.items()) if card else (),
        stages=tuple(_stage(run, stage) for stage in STAGES),
        stages_done=len(run.manifests),
        total_time=duration(sum(seconds.values())) if run.manifests else NOTHING,
        time_bar=_time_bar(seconds) if sum(seconds.values()) > 0 else None,
        headlines=_headlines(run),
    )


def _facts(run: Run) -> tuple[Fact, ...]:
    if run.card is None:
        return ()
    card = run.card
    seed = () if card.seed is None else (Fact("Seed", str(card.seed)),)
    return (
        Fact("Base model", card.base),
        Fact("Recipe", card.recipe),
        *seed,
        Fact("Started", moment(card.created)),
    )


def _tone(stage: str) -> str:
    return f"stage-{stage}"


def _stage(run: Run, stage: str) -> StageView:
    manifest = run.manifests.get(stage)
    return StageView(
        name=stage,
        progress=run.progress[stage],
        took=duration(_seconds(run, stage)) if manifest else run.progress[stage].value,
        tone=_tone(stage),
        finished=moment(manifest.finished) if manifest else "",
    )


def _seconds(run: Run, stage: str) -> float:
    """Return the time that a finished stage took.

    Each model is evaluated as it comes; the stage `evaluate` itself may then have nothing left to do.
    """
    if stage == "evaluate" and run.scores:
        return sum(scores.seconds for scores in run.scores.values())
    return run.manifests[stage].seconds


def _time_bar(seconds: Mapping[str, float]) -> Markup:
    parts = [Part(took, _tone(stage), f"{stage}: {duration(took)}") for stage, took in seconds.items()]
    told = "Time per stage: " + ", ".join(part.label for part in parts)
    return Markup(stacked_bar(parts, sum(seconds.values()), told))


def _headlines(run: Run) -> tuple[Headline, ...]:
    return (
        _compared(run, "Right when thinking", Mode.THINK, lambda scores: scores.accuracy),
        _compared(run, "Right at once", Mode.DIRECT, lambda scores: scores.accuracy),
        _compared(run, "In the asked form", Mode.THINK, lambda scores: scores.asked_form),
        _compared(run, "Thoughts left open", Mode.THINK, lambda scores: scores.unclosed),
        _faults_caught(run.filter),
        _packs_filled(run.pack),
    )


def _compared(run: Run, name: str, mode: Mode, pick: Callable[[ModeScore], float]) -> Headline:
    """Set the last model that was evaluated against the base."""
    having = {model: pick(scores.modes[mode]) for model, scores in run.scores.items() if mode in scores.modes}
    if not having:
        return _unknown(name)
    model, share = list(having.items())[-1]
    before = having.get("base") if model != "base" else None
    told = f"{name}: {percent(share)}" + ("" if before is None else f", base {percent(before)}")
    return Headline(
        name=name,
        value=percent(share),
        note=f"{model}, {mode.value}",
        before="" if before is None else percent(before),
        bar=Markup(level(share, before, mode.value, told)),
    )


def _faults_caught(figures: FilterFigures | None) -> Headline:
    name = "Planted faults caught"
    if figures is None:
        return _unknown(name)
    planted = sum(fault.planted for fault in figures.faults.values())
    caught = sum(fault.caught for fault in figures.faults.values())
    share = part_of(caught, planted)
    if share is None:
        return Headline(name, NOTHING, "none planted")
    bar = Markup(level(share, None, "caught", f"{name}: {percent(share)}"))
    return Headline(name, percent(share), f"{count(caught)} of {count(planted)}", bar=bar)


def _packs_filled(figures: PackFigures | None) -> Headline:
    name = "Packs filled"
    if figures is None:
        return _unknown(name)
    value = percent(figures.fill, 2)
    note = f"{count(figures.packs)} packs of {count(figures.length)}"
    return Headline(name, value, note, bar=Markup(level(figures.fill, None, "filled", f"{name}: {value}")))


def _unknown(name: str) -> Headline:
    return Headline(name, NOTHING, "not done")
