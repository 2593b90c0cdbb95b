"""Section 1: scores by stage and mode, as rows, as dots with whiskers, and by kind of problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from data_filters.samples import Mode
from hermes_train.evaluation.scores import KindScore, ModeScore, Proportion
from hermes_train.report.charts import Interval, whiskers
from hermes_train.report.notation import NOTHING, count, decimal, part_of, percent, percent_range
from hermes_train.report.records import MODELS, Scores

HEAT_STEPS = 10


@dataclass(frozen=True)
class ScoreRow:
    """One model in one mode, as text."""

    model: str
    mode: Mode
    is_last: bool
    """The newest model of its mode."""
    accuracy: str
    interval: str
    asked_form: str
    obeyed: str
    obeyed_interval: str
    unclosed: str
    mean_tokens: str
    problems: str


@dataclass(frozen=True)
class PreferenceRow:
    """What preference training is after, for one model in one mode: (share, its interval) as text."""

    model: str
    mode: Mode
    is_last: bool
    constraints_kept: tuple[str, str]
    refused_harmless: tuple[str, str]
    refused_rightly: tuple[str, str]


@dataclass(frozen=True)
class HeatCell:
    """The accuracy of one model in one mode on one kind; `heat` is 0 to 10, None where not measured."""

    mode: Mode
    value: str
    heat: int | None
    told: str


@dataclass(frozen=True)
class HeatRow:
    """One kind of problem across models and modes."""

    kind: str
    problems: str
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True)
class ScoresView:
    """The section on scores; `rows` is empty before the first evaluation."""

    findings: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    preference_caption: str
    preference_rows: tuple[PreferenceRow, ...]
    charts: tuple[tuple[Mode, Markup], ...]
    heat_columns: tuple[tuple[Mode, tuple[str, ...]], ...]
    heat_rows: tuple[HeatRow, ...]


def scores_view(scores: Mapping[str, Scores]) -> ScoresView:
    """Return the section for the models evaluated so far."""
    columns = tuple((mode, tuple(_in_mode(scores, mode))) for mode in Mode if _in_mode(scores, mode))
    return ScoresView(
        findings=tuple(_finding(mode, _in_mode(scores, mode)) for mode, _ in columns),
        rows=score_rows(scores),
        preference_caption=preference_caption(scores),
        preference_rows=preference_rows(scores),
        charts=tuple((mode, _chart(mode, _in_mode(scores, mode))) for mode, _ in columns),
        heat_columns=columns,
        heat_rows=_heat_rows(scores, columns),
    )


def score_rows(scores: Mapping[str, Scores]) -> tuple[ScoreRow, ...]:
    """Return one row per mode and model, thinking first, models in the order in which they came to be."""
    rows: list[ScoreRow] = []
    for mode in Mode:
        found = _in_mode(scores, mode)
        rows.extend(_row(model, mode, score, model == list(found)[-1]) for model, score in found.items())
    return tuple(rows)


def preference_rows(scores: Mapping[str, Scores]) -> tuple[PreferenceRow, ...]:
    """Return one row per mode and model, in the order of `score_rows`."""
    rows: list[PreferenceRow] = []
    for mode in Mode:
        found = _in_mode(scores, mode)
        rows.extend(
            PreferenceRow(
                model=model,
                mode=mode,
                is_last=model == list(found)[-1],
                constraints_kept=_told(score.constraints_kept),
                refused_harmless=_told(score.refused_harmless),
                refused_rightly=_told(score.refused_rightly),
            )
            for model, score in found.items()
        )
    return tuple(rows)


def preference_caption(scores: Mapping[str, Scores]) -> str:
    """Return the title of these rows, with the number of problems behind each column; empty without a score."""
    modes = [mode for score in scores.values() for mode in score.modes.values()]
    if not modes:
        return ""
    last = modes[-1]
    return (
        f"Form and refusals: {count(last.constraints_kept.of)} problems that ask for a form (constraints, a schema), "
        f"{count(last.refused_harmless.of)} harmless prompts, {count(last.refused_rightly.of)} that deserve a refusal"
    )


def _told(found: Proportion) -> tuple[str, str]:
    return percent(found.share), percent_range(found.low, found.high) if found.of else NOTHING


def _in_mode(scores: Mapping[str, Scores], mode: Mode) -> dict[str, ModeScore]:
    return {model: score.modes[mode] for model, score in scores.items() if mode in score.modes}


def _row(model: str, mode: Mode, score: ModeScore, is_last: bool) -> ScoreRow:
    return ScoreRow(
        model=model,
        mode=mode,
        is_last=is_last,
        accuracy=percent(score.accuracy),
        interval=percent_range(score.low, score.high),
        asked_form=percent(score.asked_form),
        obeyed=percent(score.obeyed),
        obeyed_interval=percent_range(score.obeyed_low, score.obeyed_high),
        unclosed=percent(score.unclosed),
        mean_tokens=decimal(score.mean_tokens),
        problems=count(score.problems),
    )


def _chart(mode: Mode, found: Mapping[str, ModeScore]) -> Markup:
    rows = [
        (model, Interval(score.accuracy, score.low, score.high) if (score := found.get(model)) else None)
        for model in MODELS
    ]
    told = ", ".join(f"{name} {percent(interval.value)}" for name, interval in rows if interval)
    return Markup(whiskers(rows, mode.value, f"Accuracy in {mode.value} mode with its 95 % interval: {told}"))


def _finding(mode: Mode, found: Mapping[str, ModeScore]) -> str:
    """Say in one sentence what training did in this mode, and whether the intervals bear it out."""
    how = "When it thinks" if mode is Mode.THINK else "When it answers at once"
    last_name, last = list(found.items())[-1]
    solved = f"{how}, {last_name} solves {count(last.correct)} of {count(last.problems)} held-out problems"
    base = found.get("base")
    if base is None or last_name == "base":
        return f"{solved}."
    if last.low > base.high:
        relation = "the 95\u00a0% intervals lie apart"
    elif last.high < base.low:
        relation = "a loss: the 95\u00a0% intervals lie apart"
    else:
        relation = "the 95\u00a0% intervals overlap, so this alone proves no difference"
    return f"{solved}; the base model solved {count(base.correct)} of {count(base.problems)} ({relation})."


def _heat_rows(
    scores: Mapping[str, Scores], columns: tuple[tuple[Mode, tuple[str, ...]], ...]
) -> tuple[HeatRow, ...]:
    found = [(mode, model, scores[model].modes[mode].kinds) for mode, models in columns for model in models]
    # A dict keeps the order in which the kinds are first met.
    kinds = list(dict.fromkeys(kind for _, _, by_kind in found for kind in by_kind))
    return tuple(
        HeatRow(
            kind=kind,
            problems=count(max(by_kind[kind].problems for _, _, by_kind in found if kind in by_kind)),
            cells=tuple(_heat_cell(mode, model, by_kind.get(kind)) for mode, model, by_kind in found),
        )
        for kind in kinds
    )


def _heat_cell(mode: Mode, model: str, score: KindScore | None) -> HeatCell:
    share = part_of(score.correct, score.problems) if score else None
    if score is None or share is None:
        return HeatCell(mode, NOTHING, None, f"{model}, {mode.value}: not measured")
    told = f"{model}, {mode.value}: {count(score.correct)} of {count(score.problems)}"
    return HeatCell(mode, f"{100 * share:.0f}", round(share * HEAT_STEPS), told)
