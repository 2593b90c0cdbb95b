"""Greedy answers to many prompts, in batches; the same prompts give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Answer:
    """One generated text, its tags kept and its end-of-turn token left out."""

    text: str
    tokens: int


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Return one answer per prompt, in order.

    Prompts of like length share a batch, so that little is padding; `progress` is called with the number of prompts
    done after each batch.
    """
    encoded = tokenizer(list(prompts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    by_length = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
    answers: dict[int, Answer] = {}
    for first in range(0, len(by_length), batch_size):
        batch = by_length[first : first + batch_size]
        new_tokens = _continue(model, [encoded[index] for index in batch], max_new_tokens)
        answers |= {index: _decode(tokenizer, ids) for index, ids in zip(batch, new_tokens, strict=True)}
        if progress:
            progress(len(batch))
    return [answers[index] for index in range(len(prompts))]


def _continue(model: PreTrainedModel, prompts: list[list[int]], max_new_tokens: int) -> list[list[int]]:
    """Return the new tokens of each prompt, cut after the first end token, which is kept."""
    settings = model.generation_config
    longest = max(len(prompt) for prompt in prompts)
    input_ids = torch.full((len(prompts), longest), settings.pad_token_id)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    output = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        # The card's sampling settings stand in the generation config; greedy search has no use for them.
        temperature=None,
        top_p=None,
        top_k=None,
    )
    ends = torch.tensor(settings.eos_token_id).reshape(-1)
    return [_until_end(row, ends) for row in output[:, longest:].cpu()]


def _until_end(row: torch.Tensor, ends: torch.Tensor) -> list[int]:
    found = torch.isin(row, ends).nonzero()
    tokens: list[int] = (row[: int(found[0]) + 1] if len(found) else row).tolist()
    return tokens


def _decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> Answer:
    return Answer(tokenizer.decode(ids, skip_special_tokens=True), len(ids))
