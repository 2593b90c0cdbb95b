"""The job that a try runs in: its nodes, where its ranks meet, and what Slurm is asked of it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from data_filters.errors import UserError
from hermes_train.cluster import slurm
from hermes_train.cluster.attempts.decision import Room
from hermes_train.training.watch.tries import own_place

_PATIENCE_SECONDS = 300.0
"""How long to ask again while the controller is away: without an answer the job would end as failed."""
_ASK_AGAIN_SECONDS = 10.0

_Answer = TypeVar("_Answer")


class Standing(StrEnum):
    """What Slurm makes of this try's job."""

    RUNS = "runs"
    TO_BE_TAKEN = "to_be_taken"
    """It is preempted, and has some grace time left."""
    ENDS = "ends"
    """It is being ended: requeued, cancelled, out of time."""
    NEWER_TRY = "newer_try"
    """It was put back into the queue and has started again; this try is a leftover."""


@dataclass(frozen=True)
class Allocation:
    """A job's nodes. The batch script, and so this process, runs on the first."""

    job: int
    restart: int
    nodes: tuple[str, ...]
    partition: str

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Allocation:
        """Return the job of this process. Raises UserError outside of a batch job, SlurmError where Slurm fails."""
        place, node_list = own_place(environment), environment.get("SLURM_JOB_NODELIST")
        if place is None or node_list is None:
            raise UserError(
                "attempt is one try of a training stage inside a Slurm job; submit the job with "
                "`hermes-train launch RECIPE`, or by hand with sbatch launch/slurm/train.sbatch"
            )
        job, restart = place
        nodes = tuple(_patiently(lambda: slurm.host_names(node_list), slurm.SlurmUnreachableError))
        return cls(job, restart, nodes, environment.get("SLURM_JOB_PARTITION", ""))

    def rendezvous(self) -> str:
        """Return host:port on the first node for the ranks to meet at: a port that nobody has at this moment."""
        address = _patiently(lambda: slurm.node_record(self.nodes[0]))["NodeAddr"]
        with socket.socket() as listener:
            listener.bind(("", 0))
            return f"{address}:{listener.getsockname()[1]}"

    def standing(self) -> Standing:
        """Return what Slurm makes of the job now. Raises SlurmError."""
        record = job_record(self.job)
        if record is None:
            return Standing.ENDS
        if record.get("JobState") != "RUNNING":
            return Standing.ENDS
        # Slurm counts a restart when it puts a job back, before the job starts again.
        if int(record.get("Restarts", "0")) > self.restart:
            return Standing.NEWER_TRY
        is_preempted = record.get("PreemptTime", "None") not in ("None", "N/A")
        return Standing.TO_BE_TAKEN if is_preempted else Standing.RUNS

    def room(self) -> Room:
        """Return which nodes the job could do without. Raises SlurmError."""
        record = job_record(self.job) or {}
        listed = record.get("ExcNodeList", "(null)")
        left_out = slurm.host_names(listed) if listed != "(null)" else []
        constraint, reservation = (
            record.get(name, "").replace("(null)", "") for name in ("Features", "Reservation")
        )
        return Room(
            frozenset(left_out),
            frozenset(_patiently(lambda: slurm.usable_nodes(self.partition, constraint, reservation))),
            len(self.nodes),
        )


def job_record(job: int) -> dict[str, str] | None:
    """Return what Slurm tells of a job, as `slurm.job_record` does, and ask again where it fails to."""
    return _patiently(lambda: slurm.job_record(job))


def requeue(job: int, left_out: frozenset[str]) -> None:
    """Put this process' own job back into the queue, never to start on the nodes `left_out`. Raises SlurmError.

    Slurm asks the process to end, and waits for that before it starts the job again. In between the job counts as
    pending, which is when its nodes can be left out: no need to hold it, and to leave it held after a kill.
    """
    # Slurm signals all processes of the job, scontrol too, which inherits this.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Refused, it may have been done already: only what was not heard is said again.
    _patiently(lambda: slurm.requeue(job), slurm.SlurmUnreachableError)
    if left_out:
        _patiently(lambda: slurm.exclude_nodes(job, left_out))


def _patiently(ask: Callable[[], _Answer], failure: type[slurm.SlurmError] = slurm.SlurmError) -> _Answer:
    """Ask again after a `failure`: a controller that is away, or has just come back, says so in many ways."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except failure:
            if time.monotonic() > deadline:
                raise
        time.sleep(_ASK_AGAIN_SECONDS)
