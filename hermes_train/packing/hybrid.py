"""What the hybrid stage sees: problems in both modes, thoughts cut at a budget, and a replay of the SFT mixture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_filters.errors import UserError
from data_filters.samples import Mode, Sample
from hermes_train.chat.render import cut_thought, without_thought
from hermes_train.packing.documents import DocumentMaker


@dataclass(frozen=True)
class HybridPlan:
    """How many documents of each kind the stage takes."""

    paired_problems: int
    length_control: int
    replay: int


def plan_hybrid(problems: int, replay_share: float, length_share: float) -> HybridPlan:
    """Return the numbers of documents: two for each problem, and the shares of the whole for the rest."""
    total = 2 * problems / (1.0 - replay_share - length_share)
    return HybridPlan(problems, round(length_share * total), round(replay_share * total))


def draw(samples: Sequence[Sample], count: int, seed: int, purpose: str) -> list[Sample]:
    """Return `count` of the samples (all, when there are fewer) by a hash of (seed, purpose, id)."""

    def rank(sample: Sample) -> bytes:
        return hashlib.blake2b(f"{seed}\0{purpose}\0{sample.id}".encode(), digest_size=8).digest()

    return sorted(samples, key=rank)[:count]


def paired(samples: Sequence[Sample], count: int, seed: int) -> Iterator[Sample]:
    """Yield `count` think samples, each followed by its direct twin: same problem, same answer, no thought."""
    thinking = [sample for sample in samples if sample.mode is Mode.THINK]
    for sample in draw(thinking, count, seed, "paired"):
        yield sample
        yield without_thought(sample)


def closed_at_budget(
    samples: Sequence[Sample], count: int, budget: int, seed: int, maker: DocumentMaker
) -> list[Sample]:
    """Return up to `count` samples whose thought runs past `budget` tokens, cut there and closed by force.

    Raises UserError when no thought is that long: the stage would silently teach nothing about length.
    """
    thinking = [sample for sample in samples if sample.mode is Mode.THINK]
    lengths = maker.count_tokens([sample.answer.reasoning or "" for sample in thinking]) if thinking else []
    long = [sample for sample, length in zip(thinking, lengths, strict=True) if length > budget]
    if count and not long:
        longest = max(lengths, default=0)
        raise UserError(
            f"hybrid.length_control.budget is {budget} tokens, but the longest kept thought has {longest}; lower the "
            "budget or leave length_control out"
        )
    return [
        cut_thought(sample, _first_tokens(sample, budget, maker)) for sample in draw(long, count, seed, "cut")
    ]


def _first_tokens(sample: Sample, budget: int, maker: DocumentMaker) -> str:
    """Return the text of the thought's first `budget` tokens, cut where whole characters end."""
    reasoning = sample.answer.reasoning or ""
    offsets = maker.tokenizer(reasoning, add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    return reasoning[: offsets[budget][0]].rstrip()
