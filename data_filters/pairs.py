"""Preference pairs out of judged samples: two answers to one prompt, of which one is to be preferred.

| kind         | chosen                                           | rejected                                       |
|--------------|--------------------------------------------------|------------------------------------------------|
| `trace`      | a kept thought or answer                         | a refuted one                                  |
| `constraint` | an answer that keeps a constraint or schema      | one that breaks it                             |
| `refusal`    | an answer                                        | a refusal of the same prompt, or a made-up one |
| `compliance` | a refusal of what deserves one (`meta.category`) | an answer that goes along with it              |

Both sides of a pair have the same prompt and mode. Rows are read twice: the first pass notes a few numbers of each and
decides on all pairs at once, the second takes out the rows that are in one. No pass holds rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import msgspec
import numpy as np

from data_filters.duplicates import prompt_digest
from data_filters.formats import intended_mode
from data_filters.pair_sides import PLACE_TYPE, sides_of_pairs
from data_filters.samples import Message, Mode, Outcome, Pair, PairKind, Sample, Verdict
from data_filters.settings import RefusalSettings
from data_filters.splitmix import splitmix64
from data_filters.verifiers.refusals import (
    REFUSAL_OF_HARMLESS_PROMPT,
    Refusal,
    complies,
    deserves_refusal,
    find_refusal,
    find_right_refusal,
    is_fulfilled_by,
)

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "Sorry, I'm not able to do that.",
    "I apologize, but I am unable to answer this question.",
    "As an AI language model, I cannot provide an answer to that.",
    "I'm sorry, but I can't answer that. Please consult a professional.",
    "Unfortunately, I can't help you with this.",
    "I must decline to answer this request.",
    "I'm not comfortable answering that question.",
    "I'm unable to provide that information.",
    "I'm just an AI, so I can't do this for you.",
    "I can't comply with that request. Is there something else you would like to talk about?",
)
"""Answers that turn down a request that there is no reason to turn down."""

REFUSING_THOUGHTS = (
    "This could be misused, so I should not answer.",
    "I am not sure that this is allowed. It is safer to decline.",
    "The user asks for something that I should stay away from.",
    "I had better not help here.",
    "Someone could be harmed by this. I will turn it down.",
)
"""What is thought before such an answer."""

_CONSTRAINT_REASONS = ("instruction_broken:", "json_", "format_")
_THOUGHT_BADLY = ("think_", "thought_")
_ANSWERED_BADLY = (
    *("math_", "puzzle_", "answer_", "tool_call"),
    *("code_no_", "code_syntax_error", "code_wrong_answer", "code_error", "code_crash"),
)
"""What a program took of time, memory or output says less about its answer: such rows lose to none."""

Kept = Callable[[], Iterable[Sample]]
"""Gives the kept samples from the first on, each time in the same order."""
Rejected = Callable[[], Iterable[tuple[Sample, Verdict]]]
"""Gives the rejected samples with their verdicts, each time in the same order."""


class _Role(IntEnum):
    """What a row can be in a pair; a row that has none is in no pair."""

    ANSWER = 0
    """Kept, and held against its task: chosen over what is worse."""
    RIGHTLY_REFUSED = 1
    """A kept refusal of what deserves one, or words that lead to help instead."""
    UNCHECKED = 2
    """Kept without a task: it is no refusal and well formed, but may be as wrong as what a check refuted."""
    REFUTED = 3
    BADLY_THOUGHT = 4
    """Refuted for its thought's form or steps, whatever the answer."""
    CONSTRAINT_BROKEN = 5
    REFUSED = 6
    """A refusal of what deserves an answer, kept or not."""
    COMPLIED = 7
    """An answer that goes along with what deserves a refusal, kept or not: its row or its first words say so."""


_CONTRASTS: tuple[tuple[PairKind, tuple[_Role, ...], _Role], ...] = (
    ("compliance", (_Role.RIGHTLY_REFUSED,), _Role.COMPLIED),
    ("constraint", (_Role.ANSWER,), _Role.CONSTRAINT_BROKEN),
    ("refusal", (_Role.ANSWER, _Role.UNCHECKED), _Role.REFUSED),
    ("trace", (_Role.ANSWER,), _Role.REFUTED),
    ("trace", (_Role.ANSWER, _Role.UNCHECKED, _Role.RIGHTLY_REFUSED), _Role.BADLY_THOUGHT),
)
_KINDS = tuple(dict.fromkeys(kind for kind, _, _ in _CONTRASTS))
_MODES = tuple(Mode)

_NOTE = np.dtype(
    [
        ("group", "<u8"),  # a hash of prompt, tools and mode
        ("name", "<u8"),  # a hash of seed and id
        ("answer", "<u8"),  # a hash of the answer: two equal sides are no pair
        ("number", "<i8"),  # the row's, among the kept or the rejected ones
        ("kept", "?"),
        ("has_task", "?"),
        ("mode", "u1"),
        ("role", "u1"),
    ]
)
_PLANNED = np.dtype([("winner", _NOTE), ("loser", _NOTE), ("kind", "u1"), ("place", "<u8")])
_NOBODY = -1
"""The number of the losing row where the refusal is a made-up one."""


@dataclass(frozen=True)
class PairChoice:
    """Which pairs are made. Raises ValueError when `made_up_refusals` is no share."""

    seed: int
    made_up_refusals: float
    """Share of the kept answers, in both modes, that stand against a made-up refusal where the rows hold no refusal of
    their prompt."""
    limit: int | None = None
    """At most so many pairs, the kinds and modes taking turns; None for all."""
    right_for: tuple[str, ...] = tuple(RefusalSettings().right_for)
    """Categories of requests that a refusal is the right answer to."""

    def __post_init__(self) -> None:
        if not 0 <= self.made_up_refusals <= 1:
            raise ValueError(f"made_up_refusals is {self.made_up_refusals}; it is a share from 0 to 1")


def build_pairs(kept: Kept, rejected: Rejected, choice: PairChoice, scratch: Path) -> Iterator[Pair]:
    """Yield preference pairs; the same rows and choice give the same pairs in the same order.

    Each losing row is used once, against one of the winning rows of its prompt, tools and mode. Only refuted rows,
    refusals and compliances lose: a failed or unverified row was not shown to be worse. An answer without a task was
    not shown to be right, and wins only where no row beside it has a task. A refusal of what deserves one and an answer
    that complies never stand the other way round; what is neither in so many words is in no pair. Rows on their way
    into pairs lie in files under `scratch`, which is made and removed again.
    """
    plan = _plan(_notes(kept, rejected, choice), choice)
    winners, losers = plan["winner"], plan["loser"]
    from_kept = losers["kept"]
    from_rejected = ~from_kept & (losers["number"] != _NOBODY)
    of_kept = np.concatenate([_places(winners, 0), _places(losers, 1)[from_kept]])
    sources = [(kept(), of_kept), ((row for row, _ in rejected()), _places(losers, 1)[from_rejected])]
    for planned, (winner, loser) in zip(plan, sides_of_pairs(sources, len(plan), scratch), strict=True):
        assert winner is not None, "the winner of a pair is always a row"
        yield _pair(planned, winner, loser, choice.seed)


def _places(notes: np.ndarray, side: int) -> np.ndarray:
    places = np.empty(len(notes), PLACE_TYPE)
    places["row"], places["pair"], places["side"] = notes["number"], np.arange(len(notes)), side
    return places


def _notes(kept: Kept, rejected: Rejected, choice: PairChoice) -> np.ndarray:
    """Note every row that can be in a pair, ordered by group."""

    def noted() -> Iterator[tuple[object, ...]]:
        for number, sample in enumerate(kept()):
            role = _role_of_kept(sample, choice.right_for)
            if role is not None:
                yield _note(sample, number, True, role, choice.seed)
        for number, (sample, verdict) in enumerate(rejected()):
            role = _role_of_rejected(sample, verdict, choice.right_for)
            if role is not None:
                yield _note(sample, number, False, role, choice.seed)

    notes = np.fromiter(noted(), _NOTE)
    # By name within a group: what is drawn from it does not depend on the order of the rows.
    notes = notes[np.lexsort((notes["name"], notes["group"]))]
    checked = np.unique(notes["group"][notes["has_task"]])
    return notes[(notes["role"] != _Role.UNCHECKED) | ~np.isin(notes["group"], checked)]


def _role_of_kept(sample: Sample, right_for: tuple[str, ...]) -> _Role | None:
    if deserves_refusal(sample, right_for):
        if _complies(sample):
            return _Role.COMPLIED
        refusal = find_right_refusal(sample.answer.content).refusal
        return _Role.RIGHTLY_REFUSED if refusal is Refusal.FULL else None
    if not is_fulfilled_by(sample.task) and find_refusal(sample.answer.content).refusal is Refusal.FULL:
        return _Role.REFUSED
    return _Role.UNCHECKED if sample.task is None else _Role.ANSWER


def _role_of_rejected(sample: Sample, verdict: Verdict, right_for: tuple[str, ...]) -> _Role | None:
    """What a rejected row can be; None for one that was rejected for another reason than its answer."""
    if verdict.outcome is not Outcome.REFUTED and verdict.reason != "no_task":
        return None
    if deserves_refusal(sample, right_for):
        if verdict.reason.startswith(_THOUGHT_BADLY):
            return _Role.BADLY_THOUGHT
        return _Role.COMPLIED if _complies(sample) else None
    refuses = find_refusal(sample.answer.content).refusal is Refusal.FULL
    if refuses or verdict.reason == REFUSAL_OF_HARMLESS_PROMPT:
        return _Role.REFUSED
    if verdict.reason.startswith(_CONSTRAINT_REASONS):
        return _Role.CONSTRAINT_BROKEN
    if verdict.reason.startswith(_THOUGHT_BADLY):
        return _Role.BADLY_THOUGHT
    return _Role.REFUTED if verdict.reason.startswith(_ANSWERED_BADLY) else None


def _complies(sample: Sample) -> bool:
    """Whether an answer to what deserves a refusal is known to go along with it: its row's word goes first."""
    marked = sample.meta.get("complies")
    return marked if isinstance(marked, bool) else complies(sample.answer.content)


def _note(sample: Sample, number: int, kept: bool, role: _Role, seed: int) -> tuple[object, ...]:
    # A thought that was never closed stands in the content, but its mode is thinking.
    mode = intended_mode(sample)
    return (
        _hash(f"{prompt_digest(sample.prompt)} {mode} ".encode() + msgspec.json.encode(sample.tools)),
        _hash(f"{seed} {sample.id}".encode()),
        _hash(msgspec.json.encode(sample.answer)),
        number,
        kept,
        sample.task is not None,
        _MODES.index(mode),
        role,
    )


def _plan(notes: np.ndarray, choice: PairChoice) -> np.ndarray:
    """Return all pairs in their final order."""
    parts = [_contrasts(notes, kind, winning, losing) for kind, winning, losing in _CONTRASTS]
    plan = np.concatenate([*parts, _made_up(notes, choice.made_up_refusals)])
    plan = plan[plan["winner"]["answer"] != plan["loser"]["answer"]]
    return plan[_in_turns(plan)[: choice.limit]]


def _contrasts(notes: np.ndarray, kind: PairKind, winning: tuple[_Role, ...], losing: _Role) -> np.ndarray:
    """Each losing row against one of the winning rows of its group."""
    winners, losers = notes[np.isin(notes["role"], winning)], notes[notes["role"] == losing]
    first = np.searchsorted(winners["group"], losers["group"], "left")
    count = np.searchsorted(winners["group"], losers["group"], "right") - first
    first, count, losers = first[count > 0], count[count > 0], losers[count > 0]
    drawn = first + (splitmix64(losers["name"], 1) % count.astype(np.uint64)).astype(np.int64)
    return _planned(kind, winners[drawn], losers, splitmix64(losers["name"], 2))


def _made_up(notes: np.ndarray, share: float) -> np.ndarray:
    """Answers without a real refusal beside them, against a made-up one."""
    answers = notes[np.isin(notes["role"], (_Role.ANSWER, _Role.UNCHECKED))]
    refused = notes["group"][notes["role"] == _Role.REFUSED]
    drawn = splitmix64(answers["name"], 3) / 2.0**64 < share
    answers = answers[drawn & ~np.isin(answers["group"], refused)]
    losers = np.zeros(len(answers), _NOTE)
    losers["number"] = _NOBODY
    losers["answer"] = ~answers["answer"]
    return _planned("refusal", answers, losers, splitmix64(answers["name"], 4))


def _planned(kind: PairKind, winners: np.ndarray, losers: np.ndarray, places: np.ndarray) -> np.ndarray:
    plan = np.empty(len(winners), _PLANNED)
    plan["winner"], plan["loser"], plan["kind"], plan["place"] = winners, losers, _KINDS.index(kind), places
    return plan


def _in_turns(plan: np.ndarray) -> np.ndarray:
    """The order in which kinds and modes take turns, so that a limit leaves some of each."""
    strata = plan["kind"].astype(np.int64) * len(_MODES) + plan["winner"]["mode"]
    order = np.lexsort((plan["place"], strata))
    starts = np.searchsorted(strata[order], strata[order], "left")
    turn = np.empty(len(plan), np.int64)
    turn[order] = np.arange(len(plan)) - starts
    return np.lexsort((strata, turn))


def _pair(planned: np.void, winner: Sample, loser: Sample | None, seed: int) -> Pair:
    kind = _KINDS[planned["kind"]]
    rejected = _made_up_refusal(winner, seed) if loser is None else loser.answer
    return Pair(
        id=f"{kind}|{winner.id}|{'made up' if loser is None else loser.id}",
        kind=kind,
        mode=winner.mode,
        prompt=winner.prompt,
        chosen=winner.answer,
        rejected=rejected,
        tools=winner.tools,
    )


def _made_up_refusal(winner: Sample, seed: int) -> Message:
    draw = _hash(f"{seed} refusal {winner.id}".encode())
    content = REFUSALS[draw % len(REFUSALS)]
    thought = REFUSING_THOUGHTS[draw // len(REFUSALS) % len(REFUSING_THOUGHTS)]
    return Message("assistant", content, thought if winner.mode is Mode.THINK else None)


def _hash(data: bytes) -> int:
    """A number from 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
