"""Preference pairs as tokens for TRL's DPO: `prompt_ids`, `chosen_ids`, `rejected_ids`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from data_filters.samples import Message, Pair, Sample
from hermes_train.chat.labels import LabelError, tokenize
from hermes_train.chat.render import RenderError
from hermes_train.packing.documents import TOO_LONG, DocumentMaker

PROMPTS_DIFFER = "prompts_differ"
"""The reason of a pair whose two renderings do not share their prompt's tokens."""


def tokenize_pairs(
    pairs: Iterable[Pair], maker: DocumentMaker, max_length: int, dropped: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yield one row for each pair that fits, and count the others by reason.

    Both sides go through the rendering and labels that SFT uses: the prompt is what lies before the last turn's labels,
    an answer is what they cover, end token included.
    """
    for pair in pairs:
        try:
            chosen_prompt, chosen = _split(pair, pair.chosen, maker)
            rejected_prompt, rejected = _split(pair, pair.rejected, maker)
        except (RenderError, LabelError) as error:
            dropped[error.problem] += 1
            continue
        if chosen_prompt != rejected_prompt:
            dropped[PROMPTS_DIFFER] += 1
        elif len(chosen_prompt) + max(len(chosen), len(rejected)) > max_length:
            dropped[TOO_LONG] += 1
        else:
            yield {
                "id": pair.id,
                "kind": pair.kind,
                "mode": str(pair.mode),
                "prompt_ids": chosen_prompt,
                "chosen_ids": chosen,
                "rejected_ids": rejected,
            }


def _split(pair: Pair, answer: Message, maker: DocumentMaker) -> tuple[list[int], list[int]]:
    """Return the tokens of the prompt and of one answer. Raises RenderError or LabelError."""
    sample = Sample(id=pair.id, source=pair.kind, messages=[*pair.prompt, answer], tools=pair.tools)
    rendered = maker.renderer.render(sample, mode=pair.mode, tags_in_answer=True)
    result = tokenize(maker.tokenizer, [rendered], maker.control)[0]
    if isinstance(result, LabelError):
        raise result
    input_ids, spans = result
    start, end = spans[-1]
    return input_ids[:start].tolist(), input_ids[start:end].tolist()
