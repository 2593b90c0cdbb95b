"""How long a rank waits for the others: a host that is cut off says nothing, so only time tells that it is gone."""

from __future__ import annotations

import math
import os
from datetime import timedelta

from torch.distributed import distributed_c10d

from data_filters.errors import UserError

VARIABLE = "HERMES_TIMEOUT_MINUTES"
_DEFAULT_MINUTES = "30"


def collective_timeout() -> timedelta:
    """Return how long a collective may take: $HERMES_TIMEOUT_MINUTES, which may be a fraction, or 30 minutes.

    Raises UserError where that is no number above 0.
    """
    text = os.environ.get(VARIABLE) or _DEFAULT_MINUTES
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise UserError(f"{VARIABLE} is {text!r}; it has to be a number above 0, such as {_DEFAULT_MINUTES}")
    return timedelta(minutes=minutes)


def limit_collectives(timeout: timedelta) -> None:
    """Make `timeout` that of every process group to come.

    The Trainer is told the timeout of its own group. DeepSpeed makes more of them, all collectives of ZeRO among them,
    without a way to say theirs: they get torch's defaults, 10 minutes on GPUs and 30 on CPUs.
    """
    distributed_c10d.default_pg_timeout = timeout
    # The module exports the one, not the other; each is read where a group of its kind is made.
    distributed_c10d.default_pg_nccl_timeout = timeout  # type: ignore[attr-defined]  # see above
