"""Attention within documents of different lengths laid end to end, by what comes with PyTorch: the path `varlen`.

No mask is built: a mask of a pack of 16,384 tokens has 268 million entries, and work on what it hides is wasted. On a
GPU that is one kernel of PyTorch over all documents, on a CPU one call for each document, in float32: PyTorch's CPU
kernel takes longer for the backward pass in bfloat16.
Batches with a padding mask, and single tokens of generation, go the way of `sdpa`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from data_filters.errors import UserError

NAME = "varlen"

_UNKNOWN_TO_US = {
    "softcap": "caps attention scores",
    "s_aux": "has attention sinks",
    "position_bias": "adds a bias by position",
}
"""What a family may ask of attention beyond softmax(scale * q k) v, by the argument that asks for it."""


def register_varlen() -> None:
    """Make `attn_implementation="varlen"` known to transformers."""
    AttentionInterface.register(NAME, varlen_attention)
    AttentionMaskInterface.register(NAME, varlen_mask)


def varlen_mask(
    *,
    q_length: int,
    kv_length: int,
    attention_mask: Tensor | None = None,
    use_vmap: bool = False,
    **kwargs: Any,
) -> Tensor | None:
    """Return None where documents' lengths tell all that a mask would, and else the mask of `sdpa`."""
    if attention_mask is None and q_length == kv_length and not use_vmap:
        return None
    return sdpa_mask(
        q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, use_vmap=use_vmap, **kwargs
    )


def varlen_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    position_ids: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return (attention's output (rows, tokens, heads, head size), None), as transformers asks of a path.

    `query` is (rows, heads, tokens, head size); `key` and `value` may have fewer heads, each for a group of query
    heads. `cu_seq_lens_q` are the edges of the documents in the flattened batch, int32; without them documents begin
    where `position_ids` do not go on by one. Raises UserError for a family that asks for more than that.
    """
    for name, what in _UNKNOWN_TO_US.items():
        if kwargs.get(name) is not None:
            raise UserError(f"this model {what}, which model.attention varlen does not know; take eager")
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    rows, _, tokens, _ = query.shape
    edges = (
        document_edges(position_ids, rows, tokens, query.device) if cu_seq_lens_q is None else cu_seq_lens_q
    )
    # Rows are documents too: laid end to end, a batch is one row.
    query, key, value = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
    scores = _Scores(dropout, scaling, sliding_window)
    if query.is_cuda:
        output = _by_kernel(query, key, value, edges, max_length_q or int(edges.diff().max()), scores)
    else:
        output = _one_by_one(query, key, value, edges, scores)
    return output.unflatten(0, (rows, tokens)), None


@dataclass(frozen=True)
class _Scores:
    """How a token's scores are made: what is dropped, the factor (None for 1 / sqrt(head size)), how far it sees."""

    dropout: float
    scaling: float | None
    sliding_window: int | None


def document_edges(position_ids: Tensor | None, rows: int, tokens: int, device: torch.device) -> Tensor:
    """Return where documents begin in the flattened batch, and its length at last, int32."""
    if position_ids is None:
        return torch.arange(0, (rows + 1) * tokens, tokens, dtype=torch.int32, device=device)
    positions = position_ids.expand(rows, tokens)
    begins = positions.diff(dim=1, prepend=positions[:, :1]) != 1
    starts = begins.flatten().nonzero().flatten()
    return torch.nn.functional.pad(starts, (0, 1), value=rows * tokens).to(torch.int32)


def _by_kernel(
    query: Tensor, key: Tensor, value: Tensor, edges: Tensor, longest: int, scores: _Scores
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    if scores.dropout:
        raise UserError("model.attention varlen knows no dropout of attention on a GPU; take sdpa")
    # The rotation of positions leaves float32 under autocast, and the kernel knows 16 bits only.
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else value.dtype
    query, key, value = (part.to(dtype).contiguous() for part in (query, key, value))
    window = (-1, 0) if scores.sliding_window is None else (scores.sliding_window - 1, 0)
    grouped = query.shape[1] != key.shape[1]
    output = varlen_attn(
        query,
        key,
        value,
        edges,
        edges,
        longest,
        longest,
        scale=scores.scaling,
        window_size=window,
        enable_gqa=grouped,
    )
    assert isinstance(output, Tensor), "no other output was asked for"
    return output


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, edges: Tensor, scores: _Scores) -> Tensor:
    lengths = edges.diff().tolist()
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    with torch.autocast("cpu", enabled=False):
        for document in zip(*(part.float().split(lengths) for part in (query, key, value)), strict=True):
            mask = _window_mask(len(document[0]), scores.sliding_window)
            # (1, heads, tokens, head size), a layout that the kernel reads without a copy.
            q, k, v = (part.transpose(0, 1)[None] for part in document)
            output = scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                dropout_p=scores.dropout,
                is_causal=mask is None,
                scale=scores.scaling,
                enable_gqa=grouped,
            )
            outputs.append(output[0].transpose(0, 1))
    return torch.cat(outputs).to(value.dtype)


def _window_mask(tokens: int, sliding_window: int | None) -> Tensor | None:
    """Return which of the last `sliding_window` tokens each one sees, or None where that is all before it."""
    if sliding_window is None or tokens <= sliding_window:
        return None
    seen = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return seen.triu(1 - sliding_window)
