"""Bytes of a model that answers: sampled thoughts and evaluation hold all of it, whatever training spreads.

As `evaluation.generate.load_for_answers` lays it: on the GPU of each of several ranks, and by one process alone over
all GPUs of its node.
"""

from __future__ import annotations

from hermes_train.plan.gpus import GIB, Machines
from hermes_train.plan.memory import CONTEXT
from hermes_train.recipe.schema import Recipe
from hermes_train.training.compute.architecture import Architecture

_BYTES = {"bfloat16": 2, "float32": 4}
"""Of a weight, by `model.dtype`."""


def weight_bytes(recipe: Recipe, architecture: Architecture) -> int:
    """Return the bytes of the whole model."""
    return _BYTES[recipe.model.dtype] * architecture.parameters


def sampling_bytes(recipe: Recipe, architecture: Architecture) -> int:
    """Return what each GPU holds while the hybrid stage samples thoughts; 0 where it samples none.

    All weights, and keys and values of a batch of thoughts with their answers, as long as they may be; prompts are left
    out.
    """
    control = recipe.hybrid.length_control
    if control is None or control.thoughts != "sampled":
        return 0
    tokens = control.batch_size * (control.budget + control.answer_tokens)
    keys_and_values = 2 * architecture.layers * architecture.key_value_size
    return (
        weight_bytes(recipe, architecture) + _BYTES[recipe.model.dtype] * tokens * keys_and_values + CONTEXT
    )


def evaluation_gpus(recipe: Recipe, architecture: Architecture, machines: Machines) -> int:
    """Return how many GPUs of a node evaluation should have: those that hold the weights, and keys and values of a
    batch of answers as long as they may be; all where that is not enough."""
    answers = recipe.evaluate.max_new_tokens
    tokens = recipe.evaluate.batch_size * max(answers.think, answers.direct)
    keys_and_values = 2 * architecture.layers * architecture.key_value_size
    needed = weight_bytes(recipe, architecture) + _BYTES[recipe.model.dtype] * tokens * keys_and_values
    return min(machines.gpus_per_node, -(-needed // (machines.gpu.memory - CONTEXT)))


def evaluation_note(recipe: Recipe, architecture: Architecture, machines: Machines) -> str | None:
    """Return what is to be said where the GPUs of one node cannot hold the weights, or None."""
    needed, there = weight_bytes(recipe, architecture), machines.gpus_per_node * machines.gpu.memory
    if needed <= there:
        return None
    return (
        f"evaluation holds the whole model on one node, whose GPUs have {there / GIB:,.0f} GiB for {needed / GIB:,.0f} "
        "GiB of weights: the rest waits in the memory of the CPUs, and answers take very long"
    )
