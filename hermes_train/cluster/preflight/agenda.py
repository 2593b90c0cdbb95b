"""What rank 0 and the others tell each other in the course of a check, and under which names."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_train.cluster.preflight.facts import Speed
from hermes_train.cluster.preflight.judgement import Outcome

CAME, AGENDA, SAW, MEASURED, VERDICT, READ = "came", "agenda", "saw", "measured", "verdict", "read"


@dataclass(frozen=True)
class Agenda:
    """What rank 0 asks of the others."""

    hosts: tuple[tuple[int, ...], ...]
    """The ranks of each host, the first one of each speaks for it."""
    backend: str
    """Over which bandwidth is measured; empty where it is not."""
    note: str
    """The file that rank 0 has left in the folder of the check; empty where it could not."""
    text: str
    """What is in it."""


@dataclass(frozen=True)
class Sight:
    """How a host fared with the note: why it does not see it, empty where it does, and how long it looked."""

    problem: str
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What a rank measured with the others; None where that was not asked for."""

    speed: Speed | None


@dataclass(frozen=True)
class Verdict:
    """What rank 0 tells the others at the end."""

    outcome: Outcome
