"""What the answers of one model are worth: figures by mode, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from data_filters.samples import Mode, Outcome, Verdict
from data_filters.verifiers.refusals import Refusal


class Judged(msgspec.Struct, frozen=True):
    """One answer with its judgement. One row of `answers.jsonl`:

    {"id": "sums-held-out/3", "kind": "sums", "mode": "think", "prompt": "What is 4 + 7?", "text": "<think>...",
     "tokens": 41, "verdict": {"outcome": "verified", "reason": "math_correct_exact"}, "asked_form": true,
     "unclosed": false, "refusal": "none"}
    """

    id: str
    kind: str
    mode: Mode
    prompt: str
    text: str
    tokens: int
    correct: bool
    asked_form: bool
    unclosed: bool
    refusal: Refusal
    verdict: Verdict


class KindScore(msgspec.Struct, frozen=True):
    """Correct answers among the problems of one kind."""

    problems: int
    correct: int


class ModeScore(msgspec.Struct, frozen=True):
    """Scores of one mode. `low` and `high` bound the accuracy with 95 % confidence; shares lie in 0..1."""

    problems: int
    correct: int
    accuracy: float
    low: float
    high: float
    asked_form: float
    unclosed: float
    mean_tokens: float
    refusals: float
    kinds: dict[str, KindScore] = {}


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the bounds of Wilson's score interval for a share (95 % by default), within 0..1.

    It holds near 0 and 1 and for few trials, where the textbook interval does not (Wilson 1927, JASA 22:209).
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / scale
    # Rounding must not put the share itself outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def score(answers: Sequence[Judged]) -> ModeScore:
    """Return the figures of the answers given in one mode. Raises ValueError when there are none."""
    if not answers:
        raise ValueError("no answers to score")
    correct = sum(answer.correct for answer in answers)
    low, high = wilson_interval(correct, len(answers))
    kinds = sorted({answer.kind for answer in answers})
    return ModeScore(
        problems=len(answers),
        correct=correct,
        accuracy=correct / len(answers),
        low=low,
        high=high,
        asked_form=_share(answer.asked_form for answer in answers),
        unclosed=_share(answer.unclosed for answer in answers),
        mean_tokens=sum(answer.tokens for answer in answers) / len(answers),
        refusals=_share(answer.refusal is Refusal.FULL for answer in answers),
        kinds={kind: _of_kind(answers, kind) for kind in kinds},
    )


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)


def _of_kind(answers: Sequence[Judged], kind: str) -> KindScore:
    own = [answer for answer in answers if answer.kind == kind]
    return KindScore(len(own), sum(answer.correct for answer in own))


def is_verified(verdict: Verdict, check: str) -> bool | None:
    """Say whether the check of that name verified the answer; None when it was not run."""
    found = [item for item in verdict.checks if item.name == check]
    return found[-1].outcome is Outcome.VERIFIED if found else None
