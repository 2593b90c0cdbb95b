"""Model states of one rank: weights, gradients, optimizer.

As DeepSpeed keeps them (Rajbhandari et al. 2020, ZeRO, arXiv 1910.02054, sections 3 and 5; the bytes are read off its
code and measured): with Adam in mixed precision 2 bytes a parameter of weights, 4 of gradients (in float32, since
micro-batches are added up in them; 2 at stage 1) and 12 of optimizer, which are master weights and two moments in
float32. Stage 1 divides the optimizer by the ranks, stage 2 the gradients too, stage 3 the weights too.
"""

from __future__ import annotations

from dataclasses import dataclass

from hermes_train.plan.activations import FLOAT32, Compute
from hermes_train.plan.sharding import Offload, Sharding
from hermes_train.recipe.training_sections import LoraSection
from hermes_train.training.compute.architecture import Architecture

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in four bits: a scale of 8 bits for 64 weights, and one of 32 bits for 256 of those (Dettmers et al.
2023, QLoRA, arXiv 2305.14314, section 3)."""


@dataclass(frozen=True)
class Trained:
    """Which parameters are trained: all of them, or adapters beside frozen ones."""

    parameters: int
    frozen: int = 0
    """Parameters that are not trained, those in four bits left out."""
    quantised: int = 0
    """Parameters that are not trained and kept in four bits."""

    @property
    def all(self) -> int:
        """All parameters, trained or not."""
        return self.parameters + self.frozen + self.quantised

    @property
    def is_adapters(self) -> bool:
        """Whether the model itself stays as it is."""
        return self.all > self.parameters

    @classmethod
    def of(cls, architecture: Architecture, lora: LoraSection | None) -> Trained:
        """Return what is trained with adapters on every linear layer but the head, or without (None).

        An adapter is two matrices, inputs x rank and rank x outputs (Hu et al. 2021, arXiv 2106.09685). Quantised are
        the matrices of the layers; embedding, head and norms are not.
        """
        if lora is None:
            return cls(architecture.parameters)
        query, key_value = architecture.query_size, architecture.key_value_size
        # queries, output; keys, values; gate, up, down: each has the hidden size on its other side.
        widths = 2 * query + 2 * key_value + 3 * architecture.intermediate_size
        per_layer = lora.rank * (7 * architecture.hidden_size + widths)
        norms = 2 * architecture.hidden_size
        quantised = 0
        if lora.quantize != "none":
            quantised = architecture.layers * (architecture.layer_parameters - norms)
        return cls(architecture.layers * per_layer, architecture.parameters - quantised, quantised)


@dataclass(frozen=True)
class States:
    """Bytes that a rank keeps from step to step: three parts on its GPU, and what it keeps on the host."""

    weights: int
    gradients: int
    optimizer: int
    host: int = 0


def model_states(trained: Trained, sharding: Sharding, compute: Compute) -> States:
    """Return the states of one rank."""
    frozen = compute.element * trained.frozen + round(NF4_BYTES * trained.quantised)
    if not sharding.uses_deepspeed:
        # The trained weights are their own master, whatever the dtype of the compute.
        return States(
            weights=FLOAT32 * trained.parameters + frozen,
            gradients=FLOAT32 * trained.parameters,
            optimizer=2 * FLOAT32 * trained.parameters,
        )
    ranks, stage = sharding.ranks, sharding.zero_stage
    weights = (compute.element * trained.parameters + frozen) // (ranks if stage == 3 else 1)
    gradients = sharding.gradient_bytes * trained.parameters // (ranks if stage >= 2 else 1)
    optimizer = 3 * FLOAT32 * trained.parameters // ranks
    node_copy = _node_copy(trained, sharding, compute)
    # The optimizer on the host has float32 gradients of its own beside the buffer that they are added up in.
    offloaded = optimizer + FLOAT32 * trained.parameters // ranks
    match sharding.offload:
        case Offload.NONE:
            return States(weights + node_copy, gradients, optimizer)
        case Offload.OPTIMIZER if stage < 3:
            # Stages 1 and 2 add micro-batches up on the GPU, and copy the sum at the end of a step.
            return States(weights, gradients, 0, host=offloaded)
        case Offload.OPTIMIZER:
            return States(weights + node_copy, 0, 0, host=gradients + offloaded)
        case Offload.PARAMETERS:
            return States(node_copy, 0, 0, host=weights + gradients + offloaded)


def _node_copy(trained: Trained, sharding: Sharding, compute: Compute) -> int:
    """The second copy of the weights that hpZ spreads over the GPUs of a node (ZeRO++, arXiv 2306.10209)."""
    if sharding.hierarchical_partition == 1:
        return 0
    return compute.element * trained.all // sharding.hierarchical_partition
