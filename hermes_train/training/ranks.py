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


def use_cpu() -> bool:
    """Say whether training runs on CPU, for want of a GPU; tells DeepSpeed, which must know before its import."""
    if torch.cuda.is_available():
        return False
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return True
