"""GPU memory of one rank, part by part, at the moment of a training step when most of it is in use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from hermes_train.plan.activations import (
    FLOAT32,
    Compute,
    Forward,
    held_after_forward,
    held_by_layers,
    held_in_backward,
)
from hermes_train.plan.gpus import GIB
from hermes_train.plan.sharding import SUB_GROUP_SIZE, Offload, Sharding
from hermes_train.plan.states import Trained, model_states
from hermes_train.training.compute.architecture import Architecture

LOGITS_CHUNK = GIB
"""Bytes of float32 logits that the loss makes at once on a GPU; a test holds this against `training.compute.loss`."""

CONTEXT = 2 * GIB
"""The CUDA context, NCCL's buffers and the libraries' workspaces; an assumption."""

FRAGMENTATION = 0.05
"""Share of the allocated bytes that is lost between blocks; an assumption."""


class Moment(StrEnum):
    """When a training step may hold most memory."""

    LOSS = "loss"
    """All checkpoints are held, and the head's gradient is added up."""
    BACKWARD = "backward"
    """All checkpoints are held, and one layer is computed again."""
    UPDATE = "update"
    """Activations are gone; the gradients are turned to float32 and the moments updated."""


@dataclass(frozen=True)
class Memory:
    """Bytes on the GPU of each rank at `moment`, by part."""

    moment: Moment
    weights: int
    gradients: int
    optimizer: int
    """Master weights and moments."""
    gathered: int
    """Weights that are whole, or in bfloat16, while they are in use; gradients that are still whole."""
    buckets: int
    """Of the communication between ranks."""
    activations: int
    logits: int
    """One chunk of them, and the head's gradient."""
    update: int
    """What the optimizer's step needs for its time."""
    reserve: int
    """CUDA, NCCL, fragmentation."""
    host: int
    """Bytes in the memory of the CPU, for each rank; not on the GPU."""

    @property
    def parts(self) -> dict[str, int]:
        """The bytes on the GPU by part."""
        elsewhere = ("moment", "host")
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in elsewhere
        }

    @property
    def total(self) -> int:
        """All bytes on the GPU."""
        return sum(self.parts.values())

    @property
    def largest_part(self) -> str:
        """The part that takes most."""
        return max(self.parts, key=lambda name: self.parts[name])


@dataclass(frozen=True)
class RankWork:
    """What one rank holds and does in a training stage."""

    architecture: Architecture
    trained: Trained
    sharding: Sharding
    forward: Forward

    @property
    def element(self) -> int:
        """Bytes of a weight in use."""
        return self.forward.compute.element

    @property
    def trains_head(self) -> bool:
        """Whether the head gets a gradient: adapters leave it as it is."""
        return not self.trained.is_adapters

    def peak(self) -> Memory:
        """Return the memory at the moment when it is largest."""
        return max((self.memory(moment) for moment in Moment), key=lambda memory: memory.total)

    def memory(self, moment: Moment) -> Memory:
        """Return the memory at a moment of the step."""
        states = model_states(self.trained, self.sharding, self.forward.compute)
        parts = {
            "weights": states.weights,
            "gradients": states.gradients,
            "optimizer": states.optimizer,
            "gathered": self._gathered(moment),
            "buckets": self._buckets(),
            "activations": self._activations(moment),
            "logits": self._logits() if moment is Moment.LOSS else 0,
            "update": self._update() if moment is Moment.UPDATE else 0,
        }
        reserve = CONTEXT + round(FRAGMENTATION * sum(parts.values()))
        offloaded = held_by_layers(self.architecture, self.forward) if self.forward.offload else 0
        return Memory(moment=moment, **parts, reserve=reserve, host=states.host + offloaded)

    def _activations(self, moment: Moment) -> int:
        match moment:
            case Moment.LOSS:
                return held_after_forward(self.architecture, self.forward)
            case Moment.BACKWARD:
                return held_in_backward(self.architecture, self.forward)
            case Moment.UPDATE:
                return 0

    def _gathered(self, moment: Moment) -> int:
        if moment is Moment.UPDATE:
            return 0
        head = self.element * self.architecture.embedding_parameters
        if not self.sharding.uses_deepspeed:
            casts_head = moment is Moment.LOSS and self.forward.compute is Compute.AUTOCAST
            return self.autocast_copies() + self._dequantised() + (head if casts_head else 0)
        if self.sharding.zero_stage < 3:
            return self._dequantised()
        if moment is Moment.LOSS:
            return head
        largest = largest_matrix(self.architecture)
        live = min(self.trained.all, self.sharding.live_parameters + largest)
        return self.element * (live + (largest if self.trains_head else 0))

    def _dequantised(self) -> int:
        """The one matrix in use, where matrices are kept in four bits."""
        if not self.trained.quantised:
            return 0
        return self.element * self.architecture.hidden_size * self.architecture.intermediate_size

    def autocast_copies(self) -> int:
        """Return the bytes of autocast's bfloat16 copies of the layers' matrices.

        They live as long as the forward pass and what it saved; with checkpointing, as long as one layer's.
        """
        if self.forward.compute is not Compute.AUTOCAST:
            return 0
        layers = 1 if self.forward.checkpointing else self.architecture.layers
        return 2 * layers * self.architecture.layer_parameters

    def _buckets(self) -> int:
        """A bucket of gradients, and the flat copy of it that is reduced."""
        if self.sharding.ranks == 1:
            return 0
        if not self.sharding.uses_deepspeed:
            # DistributedDataParallel keeps buckets for all gradients.
            return FLOAT32 * self.trained.parameters
        return 2 * self.element * min(self.sharding.reduce_bucket, self.trained.parameters)

    def _logits(self) -> int:
        """A chunk's outputs, softmax and slopes, and the head's gradient, first in float32, then in its own dtype."""
        chunk = min(LOGITS_CHUNK // FLOAT32, self.forward.tokens * self.architecture.vocabulary)
        slopes = chunk * (FLOAT32 + 2 * self.element)
        if not self.trains_head:
            return slopes
        head_gradient = FLOAT32 + (self.element if self.sharding.uses_deepspeed else 0)
        return slopes + head_gradient * self.architecture.embedding_parameters

    def _update(self) -> int:
        """DeepSpeed's flat copy of the gradients, a group of elements at a time; AdamW itself is fused."""
        if not self.sharding.uses_deepspeed or self.sharding.offload is not Offload.NONE:
            return 0
        elements = self.trained.parameters // self.sharding.ranks
        if self.sharding.zero_stage == 3:
            elements = min(elements, SUB_GROUP_SIZE)
        return FLOAT32 * elements


def largest_matrix(architecture: Architecture) -> int:
    """Return the elements of the largest parameter: the embedding, or a matrix of the MLP."""
    return max(architecture.embedding_parameters, architecture.hidden_size * architecture.intermediate_size)
