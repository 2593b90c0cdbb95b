"""The answer that most traces of one prompt give: the only check there is where no reference answer exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from data_filters.samples import TASK, Check, Outcome
from data_filters.settings import MajoritySettings
from data_filters.verifiers.math.numbers import (
    PlainNumber,
    normalise,
    numbers_agree,
    read_number,
    without_blanks,
)

_MAX_ANSWER_CHARACTERS = 2000
_MAX_SPELLINGS = 200
"""Different spellings that are compared with each other, the most frequent first."""


class Agreement(StrEnum):
    """What the traces of one prompt agree on."""

    MAJORITY = "majority"
    TOO_FEW = "too_few"
    """Fewer traces with an answer than are needed to say anything."""
    NONE = "none"
    """No answer has the share that is needed, or two have the same."""


@dataclass(frozen=True)
class Majority:
    """The answer that most traces give, if one does, and which of them give it."""

    agreement: Agreement
    answer: str | None = None
    """The answer as its first trace spells it."""
    members: frozenset[int] = frozenset()
    """Positions of the traces that give it."""
    share: float = 0.0
    """Their share of all traces, those without an answer included."""


def majority_answer(answers: Sequence[str | None], settings: MajoritySettings) -> Majority:
    """Find the answer that most of `answers` give, one extracted answer per trace and None where there is none.

    Answers are the same when they are spelled alike or are the same number, however it is written. The majority
    takes `settings.min_traces` answers, the share `settings.min_share` of all traces, and more traces than any
    other answer has.
    """
    groups = _groups(answers)
    answered = sum(map(len, groups))
    if answered < settings.min_traces:
        return Majority(Agreement.TOO_FEW)
    groups.sort(key=lambda group: (-len(group), group[0]))
    largest = groups[0]
    share = len(largest) / len(answers)
    tied = len(groups) > 1 and len(groups[1]) == len(largest)
    if tied or share < settings.min_share:
        return Majority(Agreement.NONE, share=share)
    return Majority(Agreement.MAJORITY, answers[largest[0]], frozenset(largest), share)


def judge(majority: Majority, position: int) -> Check:
    """What the majority says about the trace at `position`.

    Verified with `majority_agrees`, refuted with `majority_disagrees`, unverified with `majority_none` when there
    is no majority.
    """
    if majority.agreement != Agreement.MAJORITY:
        detail = f"{majority.agreement.value}; the largest share is {majority.share:.0%}"
        return Check(TASK, Outcome.UNVERIFIED, "majority_none", detail)
    if position in majority.members:
        return Check(TASK, Outcome.VERIFIED, "majority_agrees")
    detail = f"{majority.share:.0%} of the traces say {(majority.answer or '')[:80]!r}"
    return Check(TASK, Outcome.REFUTED, "majority_disagrees", detail)


def _groups(answers: Sequence[str | None]) -> list[list[int]]:
    """The positions of the answers, by what they say; answers that are empty or very long are left out."""
    spellings: dict[str, list[int]] = {}
    for position, answer in enumerate(answers):
        if answer and len(answer) <= _MAX_ANSWER_CHARACTERS and (spelling := _spelling(answer)):
            spellings.setdefault(spelling, []).append(position)
    by_count = sorted(spellings.items(), key=lambda item: (-len(item[1]), item[1][0]))
    merged: list[tuple[PlainNumber | None, list[int]]] = []
    for spelling, positions in by_count:
        number = read_number(spelling)
        same = next((group for first, group in merged[:_MAX_SPELLINGS] if _are_same(first, number)), None)
        if same is None:
            merged.append((number, list(positions)))
        else:
            same += positions
    return [sorted(group) for _, group in merged]


def _spelling(answer: str) -> str:
    return without_blanks(normalise(answer)).lower()


def _are_same(first: PlainNumber | None, second: PlainNumber | None) -> bool:
    if first is None or second is None:
        return False
    return numbers_agree(first, second) or numbers_agree(second, first)
