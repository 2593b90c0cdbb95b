"""The GPUs that a plan knows, and the machines of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from data_filters.errors import UserError
from hermes_train.training.compute.flops import PEAK_FLOPS

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU by what a plan needs of it."""

    name: str
    memory: int
    """Bytes that CUDA offers, a little less than the name says."""
    peak: float
    """Dense bfloat16 operations a second, of the data sheet."""


GPUS = {
    "a100": Gpu("A100 80 GB", 79 * GIB, PEAK_FLOPS["A100"]),
    "h100": Gpu("H100 80 GB", 79 * GIB, PEAK_FLOPS["H100"]),
    "h200": Gpu("H200 141 GB", 139 * GIB, PEAK_FLOPS["H200"]),
    "b200": Gpu("B200 180 GB", 178 * GIB, PEAK_FLOPS["B200"]),
}
"""The SXM forms. Memory as `torch.cuda.get_device_properties` tells it, rounded down; peaks without sparsity."""


@dataclass(frozen=True)
class Machines:
    """The GPUs that a plan is for."""

    nodes: int
    gpus_per_node: int
    gpu: Gpu

    @property
    def ranks(self) -> int:
        """One process for each GPU."""
        return self.nodes * self.gpus_per_node

    def __str__(self) -> str:
        nodes = "node" if self.nodes == 1 else "nodes"
        return f"{self.nodes} {nodes} of {self.gpus_per_node} x {self.gpu.name}"


def find_gpu(name: str) -> Gpu:
    """Return the GPU called `name`. Raises UserError for one that is not known."""
    gpu = GPUS.get(name.lower())
    if gpu is None:
        raise UserError(f"--gpu {name}: no such GPU is known; the GPUs are {', '.join(GPUS)}")
    return gpu
