"""Section 2: what the base model and the newest model wrote to the same problems, in both modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from data_filters.samples import Mode, Outcome
from hermes_train.evaluation.scores import JudgedAnswer
from hermes_train.report.notation import count

MOST_PROBLEMS = 6
MOST_CHARACTERS = 3000
"""Longer texts are cut, and say so: a page of whole runaway answers cannot be read."""

OPEN_TAG, CLOSE_TAG = "<think>", "</think>"


class ThoughtEnd(StrEnum):
    """How the thought of an answer ended."""

    NO_THOUGHT = "no thought"
    CLOSED = "closed"
    NOT_CLOSED = "not closed"


@dataclass(frozen=True)
class Written:
    """A model's text, taken apart for the eye. Nothing is judged here: the verdict does that."""

    thought: str
    answer: str
    thought_end: ThoughtEnd


@dataclass(frozen=True)
class AnswerView:
    """One answer. `written` is None when this model has no answer to this problem in this mode."""

    model: str
    mode: Mode
    written: Written | None
    outcome: Outcome | None
    reason: str
    tokens: str
    refusal: str


@dataclass(frozen=True)
class ProblemView:
    """One problem and its answers: a row per mode, the base before the newest model."""

    id: str
    kind: str
    prompt: str
    rows: tuple[tuple[AnswerView, ...], ...]


@dataclass(frozen=True)
class AnswersView:
    """The section on sample answers."""

    models: tuple[str, ...]
    problems: tuple[ProblemView, ...]


def answers_view(answers: Mapping[str, tuple[JudgedAnswer, ...]]) -> AnswersView:
    """Return the first problem of each kind, answered by the base and by the newest model there is."""
    if not answers:
        return AnswersView((), ())
    models = tuple(dict.fromkeys((next(iter(answers)), list(answers)[-1])))
    by_place = {(model, one.id, one.mode): one for model in models for one in answers[model]}
    first_of_kind: dict[str, JudgedAnswer] = {}
    for one in answers[models[-1]]:
        first_of_kind.setdefault(one.kind, one)
    modes = [mode for mode in Mode if any(place[2] is mode for place in by_place)]
    problems = tuple(
        ProblemView(
            one.id,
            one.kind,
            shortened(one.prompt),
            tuple(
                tuple(_answer(model, mode, by_place.get((model, one.id, mode))) for model in models)
                for mode in modes
            ),
        )
        for one in list(first_of_kind.values())[:MOST_PROBLEMS]
    )
    return AnswersView(models, problems)


def take_apart(text: str) -> Written:
    """Split a model's text at its think tags; a text without them is all answer."""
    if CLOSE_TAG in text:
        before, _, after = text.partition(CLOSE_TAG)
        thought = before.strip().removeprefix(OPEN_TAG)
        return Written(shortened(thought.strip()), shortened(after.strip()), ThoughtEnd.CLOSED)
    if text.lstrip().startswith(OPEN_TAG):
        thought = text.lstrip().removeprefix(OPEN_TAG)
        return Written(shortened(thought.strip()), "", ThoughtEnd.NOT_CLOSED)
    return Written("", shortened(text.strip()), ThoughtEnd.NO_THOUGHT)


def shortened(text: str) -> str:
    """Return the text, or its beginning and the number of characters left out."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]} \u2026 [{count(len(text) - MOST_CHARACTERS)} more characters]"


def _answer(model: str, mode: Mode, answer: JudgedAnswer | None) -> AnswerView:
    if answer is None:
        return AnswerView(model, mode, None, None, "", "", "")
    return AnswerView(
        model=model,
        mode=mode,
        written=take_apart(answer.text),
        outcome=answer.verdict.outcome,
        reason=answer.verdict.reason,
        tokens=count(answer.tokens),
        refusal="" if answer.refusal == "none" else f"{answer.refusal} refusal",
    )
