"""Answers of a model to many prompts, in batches; the same prompts and seeds give the same answers.

Greedy, or sampled with a stream of random numbers for each prompt, so that what a prompt draws does not depend on the
prompts beside it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hermes_train.chat.template import THINK_OPEN
from hermes_train.training import ranks
from hermes_train.training.weights.bases import DTYPES


@dataclass(frozen=True)
class Answer:
    """One generated text, its tags kept and its end-of-turn token left out."""

    text: str
    tokens: int


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: the settings of a model card, and a seed for each prompt."""

    temperature: float
    top_p: float
    top_k: int
    seeds: Sequence[int]


def load_for_answers(folder: Path, dtype: str) -> PreTrainedModel:
    """Return the model in `folder`, ready to answer.

    Each of several ranks holds the whole model on its own GPU. One process alone spreads it over all GPUs that it sees.
    """
    on_gpu = torch.cuda.is_available()
    placed = {"": ranks.local_rank()} if ranks.world_size() > 1 else "auto"
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[dtype], device_map=placed if on_gpu else None, trust_remote_code=False
    )
    return model.eval()


def free_gpu_memory() -> None:
    """Give back to the GPUs what models held that nothing refers to any more: training comes next, in this process or
    in ranks of their own."""
    gc.collect()
    torch.cuda.empty_cache()


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    progress: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Return one greedy answer per prompt, in order.

    Prompts of like length share a batch, so that little is padding; `progress` is called with the number of prompts
    done after each batch.
    """
    encoded = encode(tokenizer, prompts)
    by_length = sorted(range(len(prompts)), key=lambda index: (len(encoded[index]), index))
    answers: dict[int, Answer] = {}
    for first in range(0, len(by_length), batch_size):
        batch = by_length[first : first + batch_size]
        new_tokens = continue_batch(model, [encoded[index] for index in batch], max_new_tokens)
        answers |= {index: _decode(tokenizer, ids) for index, ids in zip(batch, new_tokens, strict=True)}
        if progress:
            progress(len(batch))
    return [answers[index] for index in range(len(prompts))]


def opens_thought(prompt: str) -> bool:
    """Say whether a rendered prompt has begun the thought for the model, as some templates do."""
    return prompt.rstrip().endswith(THINK_OPEN)


def with_opening(prompt: str, answer: Answer) -> Answer:
    """Return the answer with the tag before its thought, whether the model or the prompt wrote it."""
    return replace(answer, text=f"{THINK_OPEN}\n{answer.text}") if opens_thought(prompt) else answer


def encode(tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of rendered prompts; the template has written all control tokens."""
    encoded = tokenizer(list(prompts), add_special_tokens=False, return_attention_mask=False)
    tokens: list[list[int]] = encoded["input_ids"]
    return tokens


def end_tokens(model: PreTrainedModel) -> list[int]:
    """Return the tokens that end the model's turn."""
    ends = model.generation_config.eos_token_id
    return [ends] if isinstance(ends, int) else list(ends)


@torch.inference_mode()
def continue_batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling | None = None,
    stops: Sequence[int] = (),
    never: Sequence[int] = (),
) -> list[list[int]]:
    """Return the new tokens of each prompt of one batch, cut after the first that ends the turn or is one of `stops`,
    which is kept. Tokens of `never` are not written. Greedy without `sampling`."""
    settings = model.generation_config
    longest = max(len(prompt) for prompt in prompts)
    input_ids = torch.full((len(prompts), longest), settings.pad_token_id)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    ends = [*end_tokens(model), *stops]
    output = model.generate(
        input_ids=input_ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        suppress_tokens=list(never) or None,
        # The draw is a processor that leaves one token to choose from.
        do_sample=False,
        logits_processor=LogitsProcessorList([SeededDraw(sampling)] if sampling else []),
        # The card's sampling settings stand in the generation config; greedy search has no use for them.
        temperature=None,
        top_p=None,
        top_k=None,
    )
    return [_until_end(row, torch.tensor(ends)) for row in output[:, longest:].cpu()]


class SeededDraw(LogitsProcessor):
    """Draws the next token of each row with the row's own random numbers, and rules all others out.

    The number u, even in [0, 1), chooses the first token whose cumulated probability exceeds u.
    """

    def __init__(self, sampling: Sampling) -> None:
        """`sampling.seeds`: one for each row of the batch."""
        self._warpers = LogitsProcessorList(
            [
                TemperatureLogitsWarper(sampling.temperature),
                TopKLogitsWarper(sampling.top_k),
                TopPLogitsWarper(sampling.top_p),
            ]
        )
        self._streams = [torch.Generator().manual_seed(seed) for seed in sampling.seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of shape (rows, vocabulary): 0 for the drawn token of each row, -inf for all others."""
        warped = self._warpers(input_ids, scores.float())
        # In float64, so that rounding never leaves the last token short of 1.
        cumulated = warped.double().softmax(-1).cumsum(-1)
        drawn = torch.stack(
            [torch.rand(1, dtype=torch.float64, generator=stream) for stream in self._streams]
        )
        chosen = (cumulated <= drawn.to(scores.device) * cumulated[:, -1:]).sum(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(-1, chosen, 0.0)


def _until_end(row: torch.Tensor, ends: torch.Tensor) -> list[int]:
    found = torch.isin(row, ends).nonzero()
    tokens: list[int] = (row[: int(found[0]) + 1] if len(found) else row).tolist()
    return tokens


def _decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> Answer:
    return Answer(tokenizer.decode(ids, skip_special_tokens=True), len(ids))
