"""Bytes of activations that a rank holds between the forward and the backward pass.

Counted tensor by tensor from what PyTorch's autograd saves in transformers' Llama and Qwen layers; the tests hold the
sums against what saved-tensor hooks see. The same counting for another architecture and other kernels stands in
Korthikanti et al. 2022, Reducing Activation Recomputation in Large Transformer Models (arXiv 2205.05198), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hermes_train.training.compute.architecture import Architecture

FLOAT32 = 4

UNDER_WAY = 5
"""Layers whose offloaded activations are on the GPU at once: TRL lets so many tensors be under way."""


_MATRICES = 7
"""Of a layer: queries, keys, values, output, gate, up, down."""


class Compute(StrEnum):
    """How the numbers of the forward pass are held."""

    BFLOAT16 = "bfloat16 weights"
    """DeepSpeed's bf16: weights and activations in bfloat16, norms inside in float32."""
    AUTOCAST = "float32 weights under autocast"
    """Without DeepSpeed: the residual stream in float32, matrix products in bfloat16."""
    ADAPTERS = "bfloat16 weights, float32 adapters under autocast"
    """Adapters without DeepSpeed."""
    FLOAT32 = "float32"

    @property
    def element(self) -> int:
        """Bytes of a number that goes into a matrix product."""
        return FLOAT32 if self is Compute.FLOAT32 else 2

    @property
    def residual(self) -> int:
        """Bytes of a number of the residual stream."""
        return 2 if self in (Compute.BFLOAT16, Compute.ADAPTERS) else FLOAT32

    @property
    def casts_inputs(self) -> bool:
        """Whether each trained matrix casts its input for itself, and saves what it cast."""
        return self in (Compute.AUTOCAST, Compute.ADAPTERS)


class AttentionMemory(StrEnum):
    """What an attention path saves for the backward pass."""

    FLASH = "flash"
    """Queries, keys, values, output and a sum for each row: FlashAttention and flex attention."""
    MASKED = "masked"
    """SDPA with packs: keys and values repeated for all heads, and a mask of length x length in each layer."""
    EAGER = "eager"
    """Keys and values repeated for all heads, and the scores of all heads."""


@dataclass(frozen=True)
class Forward:
    """What one rank computes at once."""

    tokens: int
    """Of a micro-batch, on this rank: a part of them where ranks share a pack."""
    row: int
    """Tokens that attend to one another at most: the length of the pack."""
    compute: Compute
    attention: AttentionMemory
    checkpointing: bool
    """Whether a layer's activations are computed again in the backward pass instead of being held."""
    adapter_rank: int = 0
    """0 where the layers' own weights are trained."""
    offload: bool = False
    """Whether what layers hold waits in the memory of the CPU."""


def saved_by_layer(architecture: Architecture, forward: Forward) -> int:
    """Return the bytes that one layer saves for its backward pass."""
    element, hidden = forward.compute.element, architecture.hidden_size
    # Queries, keys and values read one norm's output, gate and up the other's.
    inputs = (5 if forward.compute.casts_inputs else 2) * element * hidden
    mlp = 4 * element * architecture.intermediate_size  # gate, its silu, up, their product
    adapters = _MATRICES * element * forward.adapter_rank
    norms = 2 * _norm(architecture, forward)
    return forward.tokens * (norms + inputs + _attention(architecture, forward) + mlp + adapters)


def _norm(architecture: Architecture, forward: Forward) -> int:
    """Bytes a token of an RMSNorm over the hidden size; only a trained one needs the normalised input once more."""
    normalised = 0 if forward.adapter_rank else forward.compute.residual
    return (FLOAT32 + normalised) * architecture.hidden_size + FLOAT32


def _attention(architecture: Architecture, forward: Forward) -> int:
    """Bytes a token of queries, keys, values, output (which the last matrix reads too) and the rows' sums."""
    element = forward.compute.element
    query, key_value = architecture.query_size, architecture.key_value_size
    saved = element * 2 * query
    if forward.compute is Compute.ADAPTERS:
        saved += element * query
    if architecture.qk_norm:
        saved += (FLOAT32 + element) * (query + key_value)
        saved += FLOAT32 * (architecture.heads + architecture.key_value_heads)
    row_sums = FLOAT32 * architecture.heads
    match forward.attention:
        case AttentionMemory.FLASH:
            return saved + element * 2 * key_value + row_sums
        case AttentionMemory.MASKED:
            return saved + element * 2 * query + row_sums + element * forward.row
        case AttentionMemory.EAGER:
            # The softmax is float32, and what it is cast to is kept beside it.
            score = FLOAT32 if element == FLOAT32 else FLOAT32 + element
            return saved + element * 2 * query + score * architecture.heads * forward.row


def saved_outside_layers(architecture: Architecture, forward: Forward) -> int:
    """Return the bytes saved by the last norm, with the token ids (int64) and the positions' cosines and sines."""
    # With checkpointing these two come and go with each layer.
    angles = 0 if forward.checkpointing else 2 * forward.compute.residual * architecture.head_dim
    return forward.tokens * (_norm(architecture, forward) + angles + 8)


def held_by_layers(architecture: Architecture, forward: Forward) -> int:
    """Return the bytes that layers hold between forward and backward pass: with checkpointing, their inputs alone."""
    if not forward.checkpointing:
        return architecture.layers * saved_by_layer(architecture, forward)
    return architecture.layers * forward.tokens * forward.compute.residual * architecture.hidden_size


def held_after_forward(architecture: Architecture, forward: Forward) -> int:
    """Return the bytes of activations that a GPU holds when the loss is made.

    Of offloaded ones, those of a few layers are still on the GPU, on their way.
    """
    layers = held_by_layers(architecture, forward)
    if forward.offload:
        layers = min(layers, UNDER_WAY * layers // architecture.layers)
    return layers + saved_outside_layers(architecture, forward)


def held_in_backward(architecture: Architecture, forward: Forward) -> int:
    """Return the bytes of activations that a GPU holds in the last layer's backward pass, with their gradients.

    With checkpointing that layer has been computed again and is held whole.
    """
    again = saved_by_layer(architecture, forward) if forward.checkpointing else 0
    return held_after_forward(architecture, forward) + again + _gradients(architecture, forward)


def _gradients(architecture: Architecture, forward: Forward) -> int:
    """The gradients of a layer's activations at their widest: two of the MLP, or three of a norm in float32."""
    mlp = 2 * forward.compute.element * architecture.intermediate_size
    norm = 3 * FLOAT32 * architecture.hidden_size
    return forward.tokens * max(mlp, norm)
