"""Who this process is among the ranks of a training stage; one process alone is rank 0 of 1."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import torch
import torch.distributed

from hermes_train.training.watch import signals


def rank() -> int:
    """Return this process' rank, as its launcher gave it."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of ranks, as the launcher gave it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return this process' place among those of its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def of_this_node() -> range:
    """Return the ranks of this machine, which launchers number one after the other."""
    first = rank() - local_rank()
    return range(first, first + int(os.environ.get("LOCAL_WORLD_SIZE", world_size())))


def is_main() -> bool:
    """Say whether this is the rank that writes files and speaks to the user."""
    return rank() == 0


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if _together():
        torch.distributed.barrier()


def wait_until(condition: Callable[[], bool], seconds: float = 0.5) -> None:
    """Return when `condition` holds; ask every so many `seconds`.

    For what other ranks write to disk over hours, before the ranks are joined: no barrier waits that long. Raises
    StopSignal where a signal asks this process to stop, deferred or not: the rank that is waited for may have failed,
    and its launcher asks the others to end.
    """
    while True:
        signals.obey_requested()
        if condition():
            return
        time.sleep(seconds)


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


def largest(value: int) -> int:
    """Return the largest of the ranks' values. Every rank has to call this."""
    if not _together():
        return value
    values = torch.tensor([value], device=_device())
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return int(values.item())


def gathered(values: Sequence[float]) -> list[list[float]]:
    """Return the values of every rank, by rank; each gives as many. Every rank has to call this."""
    if not _together():
        return [list(values)]
    own = torch.tensor(list(values), dtype=torch.float64, device=_device())
    rows = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(rows, own)
    return [row.tolist() for row in rows]


def gathered_text(text: str) -> list[str]:
    """Return the text of every rank, by rank. Every rank has to call this."""
    if not _together():
        return [text]
    texts: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(texts, text)
    return [str(found) for found in texts]


def _together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _device() -> torch.device:
    """Return where the ranks' process group moves tensors."""
    on_gpu = "nccl" in torch.distributed.get_backend()
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
