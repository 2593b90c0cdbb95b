"""Floating-point operations of training, from real document lengths, and what GPUs can do.

A matrix of N parameters takes 2 N operations for each token forward and 4 N backward: half of these for the gradient of
the input, half for that of the weights (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention multiplies
queries with keys and weights with values: for a document of n tokens, of which each sees itself and those before it,
2 x 2 x n^2 / 2 operations per layer and unit of query width forward, twice that backward (as Chowdhery et al. 2022,
arXiv 2204.02311, appendix B, with the causal half left out and n the document's length, not the pack's). What
activation checkpointing computes again is not counted: these are the model's operations, not the machine's.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from hermes_train.training.compute.architecture import Architecture

PEAK_FLOPS = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
    "GB200": 2500e12,
}
"""Dense bfloat16 operations per second by the makers' data sheets, SXM form where there are several."""

_H100_FORMS = {"PCIE": 756e12, "NVL": 835e12}
"""The H100s whose names have another word: fewer cores or lower clocks."""

Trained = Literal["full", "lora"]
"""All weights, or adapters beside frozen ones."""


def step_flops(
    architecture: Architecture,
    document_lengths: np.ndarray,
    trained: Trained,
    labelled_tokens: int | None = None,
) -> float:
    """Return the operations of a forward and a backward pass over documents, `document_lengths` in tokens.

    The loss multiplies the head for `labelled_tokens` alone; None, where they are not known, stands for all tokens.
    Frozen weights need no gradient of their own: with LoRA a token takes 4 N instead of 6 N. The adapters, under 1 %
    of N at the ranks in use, are not counted.
    """
    lengths = np.asarray(document_lengths, np.float64)
    per_parameter = 6 if trained == "full" else 4
    tokens = lengths.sum()
    # Tied or not, the head has the size of the embedding.
    head = architecture.embedding_parameters * (tokens if labelled_tokens is None else labelled_tokens)
    layers = (architecture.multiplied_parameters - architecture.embedding_parameters) * tokens
    weights = per_parameter * (layers + head)
    # Attention has no weights: its backward pass is the same with frozen ones.
    attention = 6 * architecture.layers * architecture.query_size * np.square(lengths).sum()
    return float(weights + attention)


def peak_flops(device_name: str) -> float | None:
    """Return the dense bfloat16 operations per second of a GPU by its name; None for one that is not in the table."""
    words = device_name.upper().replace("-", " ").split()
    if "H100" in words and (form := next((form for form in _H100_FORMS if form in words), None)):
        return _H100_FORMS[form]
    return next((peak for gpu, peak in PEAK_FLOPS.items() if gpu in words), None)
