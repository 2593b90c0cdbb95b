"""What is known of the hosts before they train: plain values, found by `gathering` and its like, judged by `judgement`.

Names of hosts are Slurm's within a job, so that what is said of one can be handed to Slurm.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = 2**30


@dataclass(frozen=True)
class Place:
    """Which of the ranks this process is, and on which host."""

    host: str
    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    agent: int = 0
    """The number of this host's torchrun: what tells hosts of one name apart."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """Return the place that the launcher gave; a process without one is alone."""
        return cls(
            host=environment.get("SLURMD_NODENAME") or socket.gethostname(),
            rank=int(environment.get("RANK", "0")),
            ranks=int(environment.get("WORLD_SIZE", "1")),
            local_rank=int(environment.get("LOCAL_RANK", "0")),
            agent=int(environment.get("GROUP_RANK", "0")),
        )

    @property
    def is_main(self) -> bool:
        """Whether this rank asks the others, judges and speaks."""
        return self.rank == 0

    @property
    def speaks_for_host(self) -> bool:
        """Whether this rank tells what is true of the whole host."""
        return self.local_rank == 0

    def in_words(self) -> str:
        """Return `rank 3 on n2 (process 4711)`."""
        return f"rank {self.rank} on {self.host} (process {os.getpid()})"


@dataclass(frozen=True)
class Expected:
    """The machines that the recipe is for, and what the next save takes."""

    nodes: int
    gpus_per_node: int
    gpu: str | None
    """Such as h100; None where ranks train on CPUs."""
    checkpoint_bytes: int | None = None
    """The largest checkpoint of the run; None where that is not known."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. None stands for what the driver did not tell."""

    name: str
    memory: int
    """Bytes."""
    used: int | None = None
    """Bytes in use before training has touched it."""
    users: tuple[str, ...] = ()
    """Processes that hold memory of it, such as `python (process 4711)`."""
    uncorrected_errors: int | None = None
    """Errors of its memory since the driver was loaded that ECC could not mend."""
    slowed_by: tuple[str, ...] | None = None
    """Why its clocks are held down, apart from having nothing to do."""


@dataclass(frozen=True)
class Folder:
    """A folder as one host sees it."""

    path: str
    filesystem: str = ""
    """Its kind and where it comes from, such as `nfs4 storage:/export`."""
    free: int = 0
    """Bytes."""
    problem: str = ""
    """Why this host cannot write there; empty where it can."""


@dataclass(frozen=True)
class OwnFacts:
    """What a host finds on itself."""

    versions: Mapping[str, str]
    """By name: packages, Python, driver; what the host lacks is left out."""
    code: str
    """The fingerprint of the sources of hermes-train."""
    code_folder: str
    recipe: Mapping[str, str]
    """The resolved recipe: each value as JSON, by its dotted key."""
    environment: Mapping[str, str]
    """Variables that change results or speed."""
    run_folder: Folder
    cache: Folder | None = None
    """HERMES_LOCAL_CACHE, where it is set."""
    gpus: tuple[Gpu, ...] = ()
    untold: tuple[str, ...] = ()
    """What could not be looked at, and why."""


@dataclass(frozen=True)
class Clock:
    """How far a host's clock is ahead of that of the first host, in seconds; it is known to within `uncertainty`."""

    offset: float
    uncertainty: float


@dataclass(frozen=True)
class Speed:
    """What one rank measured, in GB/s; None where there is nobody to measure it with."""

    within: float | None = None
    """all_reduce among the ranks of its host."""
    between: float | None = None
    """The fastest exchange with a rank of another host: what the slower of two hosts allows, so that a host is as fast
    as it shows with its best partner."""
    together: float | None = None
    """all_reduce among all ranks."""
    step: int = 0
    """The last step that was begun; later ones have larger numbers."""
    stuck: str = ""
    """What that step was and why it was not finished; empty where all are."""


@dataclass(frozen=True)
class RankFacts:
    """One rank: whether it came, and how fast it exchanged."""

    rank: int
    absent: str = ""
    """How far it came where it did not check in; empty where it did."""
    speed: Speed | None = None
    """None where nothing was measured."""
    silent: bool = False
    """Whether it checked in and later gave no more sign of life."""


@dataclass(frozen=True)
class HostFacts:
    """All that is known of one host."""

    host: str
    ranks: tuple[RankFacts, ...]
    own: OwnFacts | None = None
    """None where the rank that speaks for the host did not check in."""
    clock: Clock | None = None
    """None where it was not asked, or gave no answer."""
    sees_main_folder: str = ""
    """Why it does not see what the first host wrote in the run's folder; empty where it does."""
    shared_after: float | None = None
    """Seconds until it saw it."""


@dataclass(frozen=True)
class Arrival:
    """What each rank tells when it checks in."""

    place: Place
    own: OwnFacts | None = field(default=None)
    """Of the rank that speaks for its host."""
