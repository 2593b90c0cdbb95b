"""Section 5: the curves and figures of the training stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hermes_train.report.charts import curve, smoothed
from hermes_train.report.load import Progress, Run
from hermes_train.report.notation import NOTHING, compact, count, decimal, duration, percent, significant
from hermes_train.report.records import TRAINING_STAGES, StepMetrics, TrainingFigures
from hermes_train.report.views.overview import Fact

MOST_TABLE_ROWS = 20

TALL, FLAT = 190.0, 104.0


@dataclass(frozen=True)
class Measure:
    """One quantity that is drawn over the steps."""

    name: str
    pick: Callable[[StepMetrics], float | None]
    height: float = FLAT
    noisy: bool = True
    """Whether the eye needs a running mean; a schedule is exact."""
    write: Callable[[float], str] = significant
    held_out: Callable[[StepMetrics], float | None] = lambda step: None
    """The same of documents that are not trained, which some steps have."""


def _tokens_per_second(step: StepMetrics) -> float | None:
    return step.tokens / step.seconds if step.seconds > 0 else None


MEASURES = (
    Measure("Loss", lambda step: step.loss, TALL, held_out=lambda step: step.held_out_loss),
    Measure("Learning rate", lambda step: step.lr, noisy=False),
    Measure("Gradient norm", lambda step: step.grad_norm),
    Measure("Tokens per second", _tokens_per_second, write=compact),
)
MODE_LOSSES = (
    Measure(
        "Loss when thinking", lambda step: step.loss_think, held_out=lambda step: step.held_out_loss_think
    ),
    Measure(
        "Loss of direct answers",
        lambda step: step.loss_direct,
        held_out=lambda step: step.held_out_loss_direct,
    ),
)
"""The loss over the tokens of each mode; a step may have tokens of one alone."""

UTILISATION = Measure(
    "Share of the GPUs' peak (MFU)", lambda step: step.mfu, write=lambda share: percent(share, 1)
)

REWARDS = (
    Measure("Reward margin", lambda step: step.reward_margin),
    Measure("Chosen over rejected", lambda step: step.reward_accuracy, write=lambda share: percent(share, 0)),
    Measure("Log-probability of chosen answers", lambda step: step.chosen_log_probability),
)
"""What preference training alone measures."""


@dataclass(frozen=True)
class Panel:
    """One chart and its name."""

    name: str
    chart: Markup


@dataclass(frozen=True)
class TrainingStageView:
    """One training stage. Before it has started there are no panels and no table."""

    name: str
    progress: Progress
    facts: tuple[Fact, ...]
    panels: tuple[Panel, ...]
    table: tuple[tuple[str, ...], ...]
    """Some of the steps: step, loss, learning rate, gradient norm, tokens per second."""


def training_views(run: Run) -> tuple[TrainingStageView, ...]:
    """Return the training stages in order, those that have not started included."""
    return tuple(
        _stage(stage, run.progress[stage], run.training.get(stage), run.metrics.get(stage, ()))
        for stage in TRAINING_STAGES
    )


def _stage(
    stage: str, progress: Progress, figures: TrainingFigures | None, steps: Sequence[StepMetrics]
) -> TrainingStageView:
    return TrainingStageView(
        name=stage,
        progress=progress,
        facts=_facts(figures) if figures else _facts_so_far(steps),
        panels=tuple(_panel(stage, measure, steps) for measure in _measures(steps)) if steps else (),
        table=tuple(_table_row(step) for step in _evenly(steps, MOST_TABLE_ROWS)),
    )


def _measures(steps: Sequence[StepMetrics]) -> tuple[Measure, ...]:
    optional = (*MODE_LOSSES, UTILISATION, *REWARDS)
    known = tuple(measure for measure in optional if any(measure.pick(step) is not None for step in steps))
    return MEASURES + known


def _panel(stage: str, measure: Measure, steps: Sequence[StepMetrics]) -> Panel:
    points = [(float(step.step), measure.pick(step)) for step in steps]
    known = [value for _, value in points if value is not None]
    told = f"{measure.name} of {stage} over {count(len(steps))} steps"
    if known:
        told += f", from {measure.write(known[0])} to {measure.write(known[-1])}"
    beside = [(float(step.step), loss) for step in steps if (loss := measure.held_out(step)) is not None]
    if beside:
        told += (
            f"; of held-out documents from {measure.write(beside[0][1])} to {measure.write(beside[-1][1])}"
        )
    line = smoothed(points) if measure.noisy else points
    return Panel(
        f"{measure.name} (dots: held-out documents)" if beside else measure.name,
        Markup(curve(points, line, told, measure.height, measure.write, beside)),
    )


def _facts(figures: TrainingFigures) -> tuple[Fact, ...]:
    known = [
        Fact("Steps", count(figures.steps)),
        Fact("Time", duration(figures.seconds)),
        Fact("Tokens", count(figures.tokens)),
        Fact("Final loss", decimal(figures.final_loss, 4)),
    ]
    if figures.held_out_loss is not None:
        known.append(Fact("Held-out loss", decimal(figures.held_out_loss, 4)))
    if figures.model_step is not None and figures.model_step != figures.steps:
        known.append(Fact("Model of step", count(figures.model_step)))
        known.append(Fact("Held-out loss of the last step", decimal(figures.last_held_out_loss, 4)))
    sampled = figures.length_control
    parts = (
        ("Paired problems", figures.paired_problems),
        ("Length-control documents", figures.length_control_documents),
        ("Thoughts sampled", sampled.prompts if sampled else None),
        ("Thoughts past the budget", sampled.past_budget if sampled else None),
        ("Replayed documents", figures.replayed_documents),
        *((f"Pairs: {kind}", number) for kind, number in figures.pairs.items()),
        *((f"Dropped: {reason}", number) for reason, number in figures.dropped.items()),
    )
    known.extend(Fact(name, count(number)) for name, number in parts if number is not None)
    return tuple(known)


def _facts_so_far(steps: Sequence[StepMetrics]) -> tuple[Fact, ...]:
    if not steps:
        return ()
    return (
        Fact("Steps so far", count(steps[-1].step)),
        Fact("Time so far", duration(sum(step.seconds for step in steps))),
        Fact("Tokens so far", count(sum(step.tokens for step in steps))),
    )


def _table_row(step: StepMetrics) -> tuple[str, ...]:
    speed = _tokens_per_second(step)
    return (
        count(step.step),
        decimal(step.loss, 4),
        significant(step.lr),
        significant(step.grad_norm),
        NOTHING if speed is None else f"{speed:,.0f}",
    )


def _evenly(steps: Sequence[StepMetrics], most: int) -> Sequence[StepMetrics]:
    """Return at most that many steps, evenly spread, the first and the last among them."""
    if len(steps) <= most:
        return steps
    return [steps[round(index * (len(steps) - 1) / (most - 1))] for index in range(most)]
