"""What comes after a try of a training stage: from values to a value, without a look at the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a try ended."""

    DONE = "done"
    STOPPED = "stopped"
    """Asked to by a signal before the time limit, or by a person's."""
    TAKEN = "taken"
    """Slurm itself has ended the job: a preemption, `scontrol requeue`, `scancel`, a lost node."""
    UNFIT = "unfit"
    """The check before the training found nodes that are not fit for it, or did not come to an end."""
    HUNG = "hung"
    RANK_LOST = "rank_lost"
    """A rank was killed or does not answer."""
    MACHINE = "machine"
    """A GPU gave up."""
    FAILED = "failed"
    """By a fault that another try would meet again: of the recipe, the data, the disk, the program."""
    KILLED = "killed"
    """The process of the try itself left no word; the next try says so in its place."""


class Action(StrEnum):
    """What to do with the job."""

    DONE = "done"
    REQUEUE = "requeue"
    REQUEUE_WITHOUT_NODE = "requeue_without_node"
    STOP = "stop"
    LEAVE_TO_SLURM = "leave_to_slurm"


@dataclass(frozen=True)
class Ending:
    """How a try ended, and what is known of why."""

    outcome: Outcome
    text: str
    blamed: tuple[str, ...] = ()
    """Nodes that are to blame, where that is known."""


@dataclass(frozen=True)
class Progress:
    """One try's: the steps of the newest whole checkpoint before and after it."""

    outcome: Outcome
    from_step: int
    to_step: int

    @property
    def is_futile(self) -> bool:
        """It brought no newer checkpoint, and it was not Slurm that took the nodes away."""
        return self.to_step <= self.from_step and self.outcome is not Outcome.TAKEN


@dataclass(frozen=True)
class Room:
    """What may be left out: nodes that are left out already, those that could run the job, and how many it needs."""

    left_out: frozenset[str]
    usable: frozenset[str]
    needed: int

    def without(self, nodes: Sequence[str]) -> bool:
        """Say whether the job can start without `nodes` as well."""
        return len(self.usable - self.left_out - set(nodes)) >= self.needed


@dataclass(frozen=True)
class Decision:
    """What to do with the job, and why, in one line; `leave_out` are the nodes that it must not start on again."""

    action: Action
    text: str
    leave_out: tuple[str, ...] = ()


_OUR_FAULT_OR_NONE = {
    Outcome.DONE: Action.DONE,
    Outcome.TAKEN: Action.LEAVE_TO_SLURM,
    Outcome.FAILED: Action.STOP,
}


def decide(ending: Ending, tries: Sequence[Progress], limit: int, room: Room) -> Decision:
    """Return what comes after a try.

    `tries` are all of the job, this one last; after `limit` futile ones in a row, those taken by Slurm not counted, the
    job stops.
    """
    if (action := _OUR_FAULT_OR_NONE.get(ending.outcome)) is not None:
        return Decision(action, ending.text)
    if (reason := given_up(ending.text, tries, limit)) is not None:
        return Decision(Action.STOP, reason)
    told = f"{ending.text}; the job goes back into the queue and goes on after step {tries[-1].to_step}"
    if not ending.blamed:
        return Decision(Action.REQUEUE, told)
    names = ", ".join(ending.blamed)
    if not room.without(ending.blamed):
        return Decision(
            Action.REQUEUE,
            f"{told}, on any nodes: without {names} there are less than the {room.needed} it needs",
        )
    return Decision(Action.REQUEUE_WITHOUT_NODE, f"{told}, without {names}", ending.blamed)


def given_up(text: str, tries: Sequence[Progress], limit: int) -> str | None:
    """Return why no other try is made after `tries`, the last of which ended with `text`; None where one is."""
    futile = futile_tries(tries)
    if futile < limit:
        return None
    return (
        f"{text}; that was try {futile} of {limit} (HERMES_TRIES) without a newer checkpoint than step "
        f"{tries[-1].to_step}"
    )


def futile_tries(tries: Sequence[Progress]) -> int:
    """Return how many tries in a row, up to the last, brought nothing; one that Slurm took away is passed over."""
    count = 0
    for one in reversed(tries):
        if one.is_futile:
            count += 1
        elif one.outcome is not Outcome.TAKEN or one.to_step > one.from_step:
            break
    return count
