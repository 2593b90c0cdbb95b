"""torchrun on one of several hosts, with an end where the host of the rendezvous is cut off.

    HERMES_RENDEZVOUS=node1:29500 python -m hermes_train.cluster.host_agent OPTIONS OF TORCHRUN -m hermes_train sft ...

Its agent asks the rendezvous every few moments how many hosts there are, and waits without a limit for some of the
answers. A host that is cut off sends none, not even a reset: the ranks end when their collectives take too long, and
the agent would stay for good.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import psutil

from hermes_train.cluster.rendezvous import VARIABLE, Endpoint, parse_endpoint

_LOOK_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
_SILENCES = 2
"""So many questions one after the other that the host does not answer: one can be lost."""


def main() -> None:
    """Be torchrun. Ends with code 1 where its ranks have ended and the host of the rendezvous does not answer."""
    from torch.distributed.run import main as torchrun

    threading.Thread(
        target=_end_when_cut_off, args=(parse_endpoint(os.environ[VARIABLE]),), daemon=True
    ).start()
    torchrun()


def _end_when_cut_off(endpoint: Endpoint) -> None:
    """End this process, whose main thread may be waiting for good, once it is of no use."""
    wait_until_cut_off(has_ranks=_has_ranks, answers=lambda: answers(endpoint), seconds=_LOOK_SECONDS)
    sys.stderr.write(
        f"error: the host of the rendezvous, {endpoint}, does not answer any more, and no rank of "
        f"{socket.gethostname()} is left\n"
    )
    sys.stderr.flush()
    # Only so: an exception would end this thread alone, and a signal would wait for the main thread.
    os._exit(1)


def wait_until_cut_off(has_ranks: Callable[[], bool], answers: Callable[[], bool], seconds: float) -> None:
    """Return when there are no ranks, not yet or no more, and the rendezvous is silent; ask every so many `seconds`.

    That there are none is no reason alone: torchrun waits for the other hosts before it starts them, and at the end.
    """
    silences = 0
    while silences < _SILENCES:
        time.sleep(seconds)
        silences = 0 if has_ranks() or answers() else silences + 1


def answers(endpoint: Endpoint) -> bool:
    """Say whether the endpoint's host lets itself be heard; a refusal is an answer."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), _ANSWER_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _has_ranks() -> bool:
    """Say whether a process that this one started runs; one that has ended and is not asked for does not."""
    running = psutil.Process().children()
    return any(_status(process) != psutil.STATUS_ZOMBIE for process in running)


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)


if __name__ == "__main__":
    main()
