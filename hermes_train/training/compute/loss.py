"""The language-modelling loss over labelled positions alone, chunk by chunk.

Most of a pack's positions may carry no label, and the logits of all positions are the largest tensor of a step: 8 GB in
float32 for a pack of 16,384 tokens and a vocabulary of 128,256. So only hidden states whose next token is labelled go
through the head, a chunk of them at a time, and the gradients of a chunk are computed while its logits are at hand, as
Liger's fused linear cross entropy does (https://arxiv.org/abs/2410.10989). Logits are never kept, and the head is
multiplied three times instead of the four of a loss that computes them again in the backward pass.
"""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from hermes_train.chat.labels import IGNORED

CHUNK_BYTES = {"cpu": 128 * 2**20, "cuda": 2**30}
"""Most memory for one chunk's logits in float32, by device. A gradient of the head is added to once a chunk, so that
small chunks cost time, and more so on a GPU."""


@dataclass(frozen=True)
class LogitsForm:
    """What a model family does to the output of its head: softcap * tanh(scale * x / softcap), each part optional."""

    scale: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, config: PretrainedConfig) -> LogitsForm:
        """Return the form that a model's configuration tells: Granite divides logits, Cohere multiplies them, Gemma
        caps them."""
        text = config.get_text_config()
        divisor = getattr(text, "logits_scaling", None) or 1.0
        scale = getattr(text, "logit_scale", None) or 1.0
        return cls(scale / divisor, getattr(text, "final_logit_softcapping", None))

    @property
    def is_plain(self) -> bool:
        """Whether the head's output is what the softmax gets."""
        return self.scale == 1.0 and self.softcap is None

    def apply(self, outputs: Tensor) -> Tensor:
        """Return the logits, float32, of the head's outputs."""
        if self.is_plain:
            return outputs
        logits = outputs.float() * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def pull_back(self, gradients: Tensor, logits: Tensor) -> Tensor:
        """Return the gradients of the head's outputs, given those of the logits; changes `gradients` in place."""
        if self.softcap is not None:
            gradients.mul_(1 - (logits / self.softcap) ** 2)
        return gradients if self.scale == 1.0 else gradients.mul_(self.scale)


@dataclass(frozen=True)
class LabelledLoss:
    """The loss of a batch before it is divided by the global batch's number of labels."""

    total: Tensor
    """Summed negative log-likelihood, float32 scalar, with a gradient."""
    token_losses: Tensor
    """Negative log-likelihood of each labelled token, float32 (labelled tokens,), without a gradient."""
    positions: Tensor
    """Where the predictions of these tokens are made in the flattened batch, int64 (labelled tokens,)."""


def labelled_loss(model: torch.nn.Module, inputs: dict[str, Any]) -> LabelledLoss:
    """Return the loss of a batch. `model` is one that `add_labelled_loss` was given, wrapped or not.

    `inputs` holds what the model's forward takes and either `labels` (rows, tokens), IGNORED where there is none, or
    `shift_labels`, the labels of the next tokens, which sequence parallelism makes.
    """
    inputs = dict(inputs)
    labels = inputs.pop("labels", None)
    next_tokens = inputs.pop("shift_labels", None)
    if next_tokens is None:
        # The last position of a row predicts nothing.
        next_tokens = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    next_tokens = next_tokens.flatten()
    positions = (next_tokens != IGNORED).nonzero().flatten()
    total, token_losses = model(**inputs, label_positions=positions, targets=next_tokens[positions])
    return LabelledLoss(total, token_losses, positions)


def add_labelled_loss(model: PreTrainedModel) -> None:
    """Let `model(..., label_positions=, targets=)` return (total, token losses); other calls are as before.

    All of it happens within one call of the head, so that ZeRO-3's hooks gather the head's parameters for it, and
    within the forward of the model, so that wrappers such as DistributedDataParallel see a forward like any other.
    """
    plain_forward = model.forward
    form = LogitsForm.of(model.config)

    @functools.wraps(type(model).forward)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        label_positions: Tensor | None = None,
        targets: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if label_positions is None:
            return plain_forward(*args, **kwargs)
        # The key-value cache makes packed documents see each other, without a word.
        hidden = self.base_model(*args, **{**kwargs, "use_cache": False}).last_hidden_state
        return self.get_output_embeddings()(hidden.flatten(0, 1)[label_positions], targets=targets)

    model.forward = types.MethodType(forward, model)
    _let_head_score(model.get_output_embeddings(), form)


def _let_head_score(head: torch.nn.Linear, form: LogitsForm) -> None:
    plain_forward = head.forward

    def forward(self: torch.nn.Linear, hidden: Tensor, targets: Tensor | None = None) -> Any:
        if targets is None:
            return plain_forward(hidden)
        return summed_loss(hidden, self.weight, self.bias, targets, form)

    head.forward = types.MethodType(forward, head)  # type: ignore[method-assign]  # one head, not its class


def summed_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, form: LogitsForm | None = None
) -> tuple[Tensor, Tensor]:
    """Return the summed negative log-likelihood of `targets`, float32 scalar, and that of each, float32 (n,).

    `hidden` (n, width) goes through the head `weight` (vocabulary, width) and `bias` in autocast's dtype, or the
    weight's; softmax and loss are float32. Only the sum has a gradient.
    """
    total, token_losses = _ChunkedLoss.apply(
        hidden, weight, bias, targets, form or LogitsForm(), torch.is_grad_enabled()
    )
    return total, token_losses


class _ChunkedLoss(torch.autograd.Function):
    """Computes its gradients in the forward pass; the backward pass multiplies them by the sum's own gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        form: LogitsForm,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        wanted = [with_gradients and needed for needed in ctx.needs_input_grad[:3]]
        gradients = _Gradients.zeros(hidden, weight, bias, wanted)
        losses = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        with torch.autocast(device, enabled=False):
            head, offset = weight.to(dtype), None if bias is None else bias.to(dtype)
            for rows in chunks(len(targets), weight.shape[0], device):
                states = hidden[rows].to(dtype)
                outputs = torch.nn.functional.linear(states, head, offset)
                logits = form.apply(outputs)
                log_probabilities = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
                losses[rows] = -log_probabilities.gather(1, targets[rows, None]).squeeze(1)
                if gradients.any:
                    # The gradient of the loss by the logits: the softmax less one at the target.
                    slopes = log_probabilities.exp_()
                    slopes[torch.arange(len(slopes), device=slopes.device), targets[rows]] -= 1
                    gradients.add(rows, form.pull_back(slopes, logits).to(dtype), states, head)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(losses)
        ctx.set_materialize_grads(False)
        return losses.sum(), losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, total_gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if total_gradient is None:
            return (None,) * 6
        # Freed at once: the head's gradient is as large as the head.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the gradients of the loss are gone: it can be taken backward once only")
        parts = (gradients.hidden, gradients.weight, gradients.bias)
        scaled = (None if part is None else part.mul_(total_gradient) for part in parts)
        return (*scaled, None, None, None)


@dataclass
class _Gradients:
    """What the chunks add up, each None where it is not wanted: `hidden` (n, width) in its own dtype, `weight`
    (vocabulary, width) and `bias` (vocabulary,) in float32 until they are whole."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @classmethod
    def zeros(cls, hidden: Tensor, weight: Tensor, bias: Tensor | None, wanted: list[bool]) -> _Gradients:
        return cls(
            torch.zeros_like(hidden) if wanted[0] else None,
            torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None,
            torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wanted[2] else None,
        )

    @property
    def any(self) -> bool:
        return any(part is not None for part in (self.hidden, self.weight, self.bias))

    def add(self, rows: slice, slopes: Tensor, states: Tensor, head: Tensor) -> None:
        """Add one chunk: `slopes` (rows, vocabulary) by the head's outputs."""
        if self.hidden is not None:
            self.hidden[rows] = slopes @ head
        if self.weight is not None:
            add_product(self.weight, slopes.T, states)
        if self.bias is not None:
            self.bias += slopes.sum(0, dtype=torch.float32)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to `total`, float32, without rounding the product first where the device can."""
    if left.dtype == torch.float32:
        total.addmm_(left, right)
    elif total.is_cuda:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total += left @ right


def chunks(rows: int, vocabulary: int, device: str) -> list[slice]:
    """Return the parts of `rows` whose logits fit CHUNK_BYTES on a kind of device, such as "cuda"."""
    size = max(1, CHUNK_BYTES.get(device, CHUNK_BYTES["cuda"]) // (4 * vocabulary))
    return [slice(start, start + size) for start in range(0, rows, size)]
