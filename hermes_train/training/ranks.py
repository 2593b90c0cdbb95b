"""Who this process is among the ranks of a training stage; one process alone is rank 0 of 1."""

from __future__ import annotations

import os

import torch
import torch.distributed


def rank() -> int:
    """Return this process' rank, as its launcher gave it."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of ranks, as the launcher gave it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Say whether this is the rank that writes files and speaks to the user."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def join_deepspeed() -> None:
    """Show DeepSpeed the process group of the ranks.

    On GPUs the Trainer starts the group through DeepSpeed; on CPUs it starts a plain one, and DeepSpeed, which has not
    seen it, takes each rank for a world of its own.
    """
    if world_size() > 1 and not torch.cuda.is_available():
        from deepspeed import comm

        comm.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)


def use_cpu() -> bool:
    """Say whether training runs on CPU, for want of a GPU; tells DeepSpeed, which must know before its import."""
    if torch.cuda.is_available():
        return False
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return True
