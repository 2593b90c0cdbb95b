"""Whose fault an error is that ended a rank: its own, that of another rank, or that of the machine."""

from __future__ import annotations

import errno
from enum import StrEnum

_GLOO = ("third_party/gloo/", "gloo/transport/", "Application timeout caused pair closure")
"""How gloo's errors are known, which are plain RuntimeErrors: by the places in its source that they name, and the one
that names none."""

_LOST_FILES = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN)
"""What NFS and Lustre say on a node that has lost its server, and a disk that breaks."""

_GPU = ("CUDA error", "cuDNN error", "CUBLAS_STATUS_", "CUDNN_STATUS_")
"""How errors of CUDA's libraries begin, which are plain RuntimeErrors:
`CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling ...`, `cuDNN error: CUDNN_STATUS_INTERNAL_ERROR`."""
_GPU_OWN = ("_STATUS_ALLOC_FAILED", "_STATUS_INVALID_VALUE", "_STATUS_NOT_SUPPORTED")
"""Those among them that the next try would meet again: too little memory, and what the libraries do not do."""


class Fault(StrEnum):
    """Whose fault it is."""

    OWN = "own"
    """The program's or the recipe's: another try would end in the same way."""
    OTHER_RANK = "other_rank"
    """Another rank is gone or does not answer."""
    MACHINE = "machine"
    """A GPU gave up, or the node lost its files. An error of a kernel looks the same."""


def fault_of(error: BaseException) -> Fault:
    """Return whose fault an error is, as far as its type and text tell."""
    # Late: this is asked once, and the log is read by commands that answer at once.
    import torch
    from torch.distributed import DistError

    if isinstance(error, DistError):
        return Fault.OTHER_RANK
    if isinstance(error, torch.OutOfMemoryError):
        return Fault.OWN
    if isinstance(error, torch.AcceleratorError):
        return Fault.MACHINE
    if isinstance(error, OSError):
        return Fault.MACHINE if error.errno in _LOST_FILES else Fault.OWN
    return _fault_of_text(str(error)) if isinstance(error, RuntimeError) else Fault.OWN


def _fault_of_text(text: str) -> Fault:
    if any(words in text for words in _GLOO):
        return Fault.OTHER_RANK
    if text.startswith(_GPU) and not any(words in text for words in _GPU_OWN):
        return Fault.MACHINE
    return Fault.OWN
