"""How a model lies on the ranks, in the numbers that memory depends on: read off DeepSpeed's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SUB_GROUP_SIZE = 1_000_000_000
"""Elements that ZeRO-3's optimizer updates at once: DeepSpeed's default, which recipes leave alone."""

_BYTES = {"fp32": 4, "bf16": 2}


class Offload(StrEnum):
    """What lies in the memory of the CPU."""

    NONE = "none"
    OPTIMIZER = "optimizer"
    """The CPU makes the update; at stage 3 it has the gradients as well."""
    PARAMETERS = "parameters"
    """Optimizer, gradients and weights."""


@dataclass(frozen=True)
class Sharding:
    """`zero_stage` 0 is plain data parallelism, or one process alone."""

    ranks: int
    zero_stage: int = 0
    offload: Offload = Offload.NONE
    gradient_bytes: int = 4
    """Of a gradient in the buffer that micro-batches are added up in."""
    hierarchical_partition: int = 1
    reduce_bucket: int = 0
    """Elements of a bucket of gradients."""
    live_parameters: int = 0
    """Elements of weights that stage 3 may hold whole before it lets some go."""

    @classmethod
    def of(cls, deepspeed: Mapping[str, Any] | None, ranks: int, hidden_size: int) -> Sharding:
        """Return what DeepSpeed's configuration (None: a job without DeepSpeed) means for memory."""
        if deepspeed is None:
            return cls(ranks)
        zero = deepspeed["zero_optimization"]
        bucket = zero["reduce_bucket_size"]
        compute = "bf16" if deepspeed["bf16"]["enabled"] else "fp32"
        added_up_in = deepspeed.get("data_types", {}).get("grad_accum_dtype", compute)
        return cls(
            ranks=ranks,
            zero_stage=zero["stage"],
            offload=_offload(zero),
            gradient_bytes=_BYTES[added_up_in],
            hierarchical_partition=zero.get("zero_hpz_partition_size", 1),
            # What transformers puts in the place of "auto".
            reduce_bucket=hidden_size**2 if bucket == "auto" else bucket,
            live_parameters=zero.get("stage3_max_live_parameters", 0),
        )

    @property
    def uses_deepspeed(self) -> bool:
        """Whether DeepSpeed holds the weights, in the dtype of the compute."""
        return self.zero_stage > 0


def _offload(zero: Mapping[str, Any]) -> Offload:
    if "offload_param" in zero:
        return Offload.PARAMETERS
    return Offload.OPTIMIZER if "offload_optimizer" in zero else Offload.NONE
