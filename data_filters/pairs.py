"""Preference pairs out of judged samples: two answers to one prompt, of which one is to be preferred."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from data_filters.duplicates import prompt_digest
from data_filters.formats import intended_mode
from data_filters.samples import Message, Mode, Outcome, Pair, PairKind, Sample, Verdict

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

_CONSTRAINT_REASONS = ("instruction_broken:", "json_", "format_")
_ANSWERED_BADLY = ("think_", "thought_", "math_", "puzzle_", "answer_")

_GroupKey = tuple[str, Mode]


def build_pairs(
    kept: Iterable[Sample],
    rejected: Iterable[tuple[Sample, Verdict]],
    seed: int,
    refusals: float,
    limit: int | None = None,
) -> list[Pair]:
    """Build preference pairs; the same arguments give the same pairs in the same order.

    `trace` sets a kept thought or answer against a refuted one of the same prompt and mode, `constraint` one
    that keeps a constraint or schema against one that breaks it, and `refusal`, for the share `refusals` of
    the kept direct samples, an answer against a refusal. Only refuted samples stand on the rejected side: a
    failed or unverified one was not shown to be wrong. Pairs with two equal sides are left out. At most
    `limit` pairs are returned, the kinds taking turns. `kept` is read once and may be larger than memory: what is held
    are the refuted samples, the kept ones of their prompts, and of the other pairs `limit`. Raises ValueError when
    `refusals` is no share.
    """
    if not 0 <= refusals <= 1:
        raise ValueError(f"refusals is {refusals}; it is a share from 0 to 1")
    refuted = _by_prompt(rejected)
    winners: dict[_GroupKey, list[Sample]] = {key: [] for key in refuted}
    turned_down = _first(_refusal_pairs(_winners_noted(kept, winners), seed, refusals), seed, limit)
    contrasts = list(_contrast_pairs(winners, refuted, seed))
    by_kind: dict[str, list[Pair]] = {"refusal": turned_down}
    for kind in {pair.kind for pair in contrasts}:
        by_kind[kind] = _first((pair for pair in contrasts if pair.kind == kind), seed, limit)
    return _in_turns(by_kind)[:limit]


def _winners_noted(kept: Iterable[Sample], winners: dict[_GroupKey, list[Sample]]) -> Iterator[Sample]:
    """Yield every kept sample, and keep those whose prompt and mode a refuted one has."""
    for sample in kept:
        group = winners.get(_group_key(sample)) if winners else None
        if group is not None:
            group.append(sample)
        yield sample


def _contrast_pairs(
    winners: dict[_GroupKey, list[Sample]],
    refuted: dict[_GroupKey, list[tuple[Sample, PairKind]]],
    seed: int,
) -> Iterator[Pair]:
    """Each refuted sample is used once, against one of the kept samples of its prompt and mode."""
    for key, losers in refuted.items():
        group = winners[key]
        for loser, kind in losers:
            if group:
                winner = group[_draw(seed, loser.id) % len(group)]
                pair = _pair(kind, winner, loser.answer, f"{winner.id}|{loser.id}")
                if pair.chosen != pair.rejected:
                    yield pair


def _refusal_pairs(chosen: Iterable[Sample], seed: int, share: float) -> Iterator[Pair]:
    for sample in chosen:
        draw = _draw(seed, f"refusal {sample.id}")
        if sample.mode == Mode.DIRECT and draw < share * 2**64:
            refusal = Message("assistant", REFUSALS[_draw(seed, sample.id) % len(REFUSALS)])
            yield _pair("refusal", sample, refusal, f"{sample.id}|refusal")


def _by_prompt(rejected: Iterable[tuple[Sample, Verdict]]) -> dict[_GroupKey, list[tuple[Sample, PairKind]]]:
    groups: dict[_GroupKey, list[tuple[Sample, PairKind]]] = {}
    for sample, verdict in rejected:
        kind = _kind(verdict)
        if kind is not None:
            groups.setdefault(_group_key(sample), []).append((sample, kind))
    return groups


def _kind(verdict: Verdict) -> PairKind | None:
    """What a refuted sample teaches; None for one that was rejected for another reason than its answer."""
    if verdict.outcome != Outcome.REFUTED:
        return None
    if verdict.reason.startswith(_CONSTRAINT_REASONS):
        return "constraint"
    return "trace" if verdict.reason.startswith(_ANSWERED_BADLY) else None


def _group_key(sample: Sample) -> _GroupKey:
    """Prompt and mode. A thought that was never closed stands in the content, but its mode is thinking."""
    return prompt_digest(sample.prompt), intended_mode(sample)


def _pair(kind: PairKind, winner: Sample, loser: Message, name: str) -> Pair:
    return Pair(
        id=f"{kind}|{name}",
        kind=kind,
        mode=winner.mode,
        prompt=winner.prompt,
        chosen=winner.answer,
        rejected=loser,
        tools=winner.tools,
    )


def _first(pairs: Iterable[Pair], seed: int, limit: int | None) -> list[Pair]:
    """The pairs in a seeded order; no more than `limit` are held at a time."""

    def place(pair: Pair) -> tuple[int, str]:
        return _draw(seed, pair.id), pair.id

    return sorted(pairs, key=place) if limit is None else heapq.nsmallest(limit, pairs, key=place)


def _in_turns(by_kind: dict[str, list[Pair]]) -> list[Pair]:
    """The kinds taking turns, so that a limit leaves some of each."""
    turns = zip_longest(*(by_kind[kind] for kind in sorted(by_kind)))
    return [pair for turn in turns for pair in turn if pair is not None]


def _draw(seed: int, name: str) -> int:
    """A number from 0 to 2**64 - 1 that only the seed and the name decide."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "little")
