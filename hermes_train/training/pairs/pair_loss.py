"""Log-probabilities of answers in packed rows, and packed rows in the shape that TRL's preference losses take.

A preference loss hangs on small differences between sums over whole answers, so logits stay in float32: rounded to
bfloat16, a logit of 20 is off by up to 0.06, and the sum over an answer of 1,000 tokens by about one.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from hermes_train.chat.labels import IGNORED
from hermes_train.training.compute.loss import LogitsForm, add_product, chunks


class AnswersOfRow:
    """The policy as TRL's loss calls it, which wants a line of log-probabilities for each answer.

    It reads one packed row. `sums` then has the log-probability of each answer, float32 (2 x pairs,), without a
    gradient: the chosen ones, then the rejected ones.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self.sums = torch.empty(0)

    def __call__(self, *, row: dict[str, Tensor], labels: Tensor, **of_trl: Any) -> FusedCausalLMOutput:
        """Return the log-probabilities (2 x pairs, longest answer), zero where a line of `labels` has none.

        Entropy, mean logits and the best guesses, which TRL would log, are zeros: they cost as much as the loss.
        """
        log_probabilities = answer_log_probabilities(self._model, row, labels[:, 1:] != IGNORED)
        self.sums = log_probabilities.detach().sum(dim=1)
        zeros = torch.zeros_like(self.sums)[:, None].expand_as(log_probabilities)
        return FusedCausalLMOutput(
            log_probs=log_probabilities, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool()
        )


NOT_MEASURED = ("entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy")
"""TRL's names of the figures that `AnswersOfRow` leaves out."""


def answer_log_probabilities(model: torch.nn.Module, row: dict[str, Tensor], answers: Tensor) -> Tensor:
    """Return the log-probability of each answer token, float32, one line for each answer.

    `model` is one that `add_token_log_probabilities` was given, wrapped or not. `row`: `input_ids`, `position_ids` and
    `labels` of shape (1, tokens). `answers`: bool (answers, longest answer), where the row's labels go, in their order.
    """
    inputs = dict(row)
    next_tokens = inputs.pop("labels")[0, 1:]
    positions = (next_tokens != IGNORED).nonzero().flatten()
    found = model(**inputs, scored_positions=positions, scored_tokens=next_tokens[positions])
    return found.new_zeros(answers.shape).masked_scatter(answers, found)


def add_token_log_probabilities(model: PreTrainedModel) -> None:
    """Let `model(..., scored_positions=, scored_tokens=)` return log-probabilities; other calls are as before.

    `scored_positions`: int64 (n,), places in the flattened batch; `scored_tokens`: int64 (n,), the tokens predicted
    there. The result is float32 (n,). All of it happens within one call of the head, so that ZeRO-3's hooks gather the
    head's parameters for it, and within the forward of the model, so that wrappers see a forward like any other.
    """
    plain_forward = model.forward
    head = model.get_output_embeddings()
    plain_head = head.forward
    form = LogitsForm.of(model.config)

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        scored_positions: Tensor | None = None,
        scored_tokens: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if scored_positions is None:
            return plain_forward(*args, **kwargs)
        # The key-value cache makes packed documents see each other, without a word.
        hidden = self.base_model(*args, **{**kwargs, "use_cache": False}).last_hidden_state
        states = hidden.flatten(0, 1)[scored_positions]
        return self.get_output_embeddings()(states, scored_tokens=scored_tokens)

    def head_forward(self: torch.nn.Linear, states: Tensor, scored_tokens: Tensor | None = None) -> Any:
        if scored_tokens is None:
            return plain_head(states)
        return token_log_probabilities(states, self.weight, self.bias, scored_tokens, form)

    model.forward = types.MethodType(forward, model)
    head.forward = types.MethodType(head_forward, head)


def token_log_probabilities(
    states: Tensor, weight: Tensor, bias: Tensor | None, tokens: Tensor, form: LogitsForm
) -> Tensor:
    """Return log softmax(form(states @ weight.T + bias))[tokens], float32 (n,), with a gradient for each.

    `states` (n, width) and `weight` (vocabulary, width) are multiplied in autocast's dtype, or the weight's; their
    products are added up and kept in float32. Logits are made chunk by chunk and again in the backward pass, so that
    no more than a chunk of them is in memory.
    """
    result: Tensor = _ChunkedLogProbabilities.apply(states, weight, bias, tokens, form)
    return result


class _ChunkedLogProbabilities(torch.autograd.Function):
    """Unlike the loss of SFT, which is one sum, its gradient is known only when the loss of all answers is."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, tokens: Tensor, form: LogitsForm
    ) -> Tensor:
        device = states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        ctx.save_for_backward(states, weight, bias, tokens)
        ctx.form, ctx.dtype = form, dtype
        found = torch.empty(len(tokens), dtype=torch.float32, device=states.device)
        with torch.autocast(device, enabled=False):
            head = _operand(weight, dtype)
            for rows in chunks(len(tokens), weight.shape[0], device):
                logits = form.apply(_product(_operand(states[rows], dtype), head, bias))
                found[rows] = torch.log_softmax(logits, dim=-1).gather(1, tokens[rows, None])[:, 0]
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, tokens = ctx.saved_tensors
        of_states, of_weight, of_bias = (
            torch.zeros_like(tensor, dtype=torch.float32) if needed and tensor is not None else None
            for tensor, needed in zip((states, weight, bias), ctx.needs_input_grad[:3], strict=True)
        )
        with torch.autocast(states.device.type, enabled=False):
            head = _operand(weight, ctx.dtype)
            for rows in chunks(len(tokens), weight.shape[0], states.device.type):
                chunk = _operand(states[rows], ctx.dtype)
                logits = ctx.form.apply(_product(chunk, head, bias))
                # The gradient of a log-probability by its logits: one at the token, less the softmax.
                slopes = torch.softmax(logits, dim=-1).neg_()
                slopes[torch.arange(len(slopes), device=slopes.device), tokens[rows]] += 1
                slopes = ctx.form.pull_back(slopes.mul_(gradient[rows, None]), logits)
                del logits
                if of_bias is not None:
                    of_bias += slopes.sum(0)
                slopes = _operand(slopes, ctx.dtype)
                if of_states is not None:
                    of_states[rows] = _product(slopes, head.T)
                if of_weight is not None:
                    add_product(of_weight, slopes.T, chunk)
        return (
            None if of_states is None else of_states.to(states.dtype),
            None if of_weight is None else of_weight.to(weight.dtype),
            None if of_bias is None else of_bias.to(bias.dtype),
            None,
            None,
        )


def _operand(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix rounded to `dtype`; on a CPU in float32 again, as its kernels round products to the operands'."""
    rounded = tensor.to(dtype)
    return rounded if tensor.is_cuda else rounded.float()


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return left @ right.T + bias in float32."""
    plain = left.dtype == torch.float32
    product = left @ right.T if plain else torch.mm(left, right.T, out_dtype=torch.float32)
    return product if bias is None else product + bias.float()
