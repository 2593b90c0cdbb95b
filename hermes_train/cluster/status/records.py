"""What the status of a run is made of: plain records, which `--json` prints as they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hermes_train.cluster.attempts.record import Attempt


class Standing(StrEnum):
    """Where a stage stands, as far as the run's folder and its jobs tell. Whether it is out of date only a recipe can
    tell."""

    DONE = "done"
    AT_WORK = "at work"
    INTERRUPTED = "interrupted"
    MISSING = "not made yet"
    UNKNOWN = "cannot be told"
    """Its files cannot be read, or it is quiet and held by a process that cannot be seen from here."""


class Worker(StrEnum):
    """Who is known to work on a stage."""

    JOB = "its job runs"
    PROCESS = "a process of this host holds the run"
    NOBODY = "no process holds the run, or the one that did is gone"
    UNKNOWN = "a process that cannot be seen from here holds the run, or was killed"


class Movement(StrEnum):
    """Whether the stage at work moves."""

    MOVES = "moves"
    BEGINS = "has made no step yet"
    STILL = "has not moved for long"
    ENDED = "nobody is at work"


@dataclass(frozen=True)
class StageStatus:
    """One stage of the run."""

    stage: str
    standing: Standing
    seconds: float | None
    """What a finished stage took, its last try alone."""
    finished: datetime | None
    detail: str
    """More in a few words; empty where there is nothing to say."""


@dataclass(frozen=True)
class Checkpoint:
    """The last whole checkpoint of a training stage."""

    step: int
    saved: datetime


@dataclass(frozen=True)
class Training:
    """A training stage that is begun and not done."""

    stage: str
    movement: Movement
    step: int | None
    """The last optimizer step that is in metrics.jsonl; None before the first."""
    steps: int | None
    """All steps of the stage, by the run's recipe; None where that cannot be read."""
    loss: float | None
    grad_norm: float | None
    learning_rate: float | None
    tokens_per_second: float | None
    mfu: float | None
    step_seconds: float | None
    """Mean of the last steps."""
    last_step: datetime | None
    seconds_since_last_step: float | None
    seconds_left: float | None
    """Until the last step, at the pace of the last steps and without saves; None where nobody is at work."""
    checkpoint: Checkpoint | None
    last_word: str | None
    """Why its last process ended; None while one runs, and where it left no word."""
    log: str
    """Path of the stage's log."""
    log_lines: tuple[str, ...]
    """The last lines of the log."""
    stacks: tuple[str, ...]
    """Where each rank that hung stands, those first that the others wait for."""


class JobPlace(StrEnum):
    """Where a job of the chain is."""

    WAITS = "waits"
    RUNS = "runs"
    NEVER_STARTS = "never starts"
    """In the queue, but what it waits for will not come to be."""
    ENDED_WELL = "ended well"
    FAILED = "failed"
    LEFT = "left the queue"
    """Slurm has forgotten how it ended."""
    NOT_KNOWN = "not known"
    """Slurm was not asked, or gave no answer."""


class Remedy(StrEnum):
    """Who can end a job's wait."""

    TIME = "time"
    USER = "user"
    SITE = "site"


@dataclass(frozen=True)
class JobStatus:
    """A job of the chain, as Slurm tells of it."""

    stage: str
    job: int
    place: JobPlace
    state: str
    """Slurm's word, such as PENDING; empty where Slurm has forgotten the job."""
    reason: str
    """Slurm's word for why it waits or failed, such as Priority; empty where there is none."""
    because: str
    """The reason in words."""
    remedy: Remedy | None
    """Who can end its wait; None for a job that does not wait."""
    nodes: str
    """The nodes that it has, in Slurm's short form; empty where it has none."""
    number_of_nodes: int | None
    elapsed: str
    time_limit: str
    expected_start: datetime | None
    """Slurm's guess for a job that waits, in the host's local time."""
    log: str
    """Path of its output; empty for a job that was submitted by hand."""


class Queue(StrEnum):
    """Whether Slurm was asked for the run's jobs."""

    NO_JOBS = "this run was not launched on a cluster"
    ASKED = "asked"
    NO_SLURM = "there is no Slurm on this machine"
    NO_ANSWER = "Slurm gave no answer"


@dataclass(frozen=True)
class JobsStatus:
    """The jobs of the chain that `launch` submitted last, or those that a user submitted by hand."""

    queue: Queue
    text: str
    """Why Slurm was not asked, or what it said; empty where it answered."""
    submitted: datetime | None
    """When it was launched; None for jobs by hand."""
    jobs: tuple[JobStatus, ...]


class Next(StrEnum):
    """What there is to do about a run."""

    NOTHING = "nothing"
    WAIT = "wait"
    LOOK = "look"
    MEND = "mend"
    GO_ON = "go on"


@dataclass(frozen=True)
class Advice:
    """What to do next, in a line."""

    next: Next
    text: str


@dataclass(frozen=True)
class RunStatus:
    """How a run stands."""

    run: str
    """Path of the run's folder."""
    owner: str
    name: str
    recipe: str
    """The recipe's path, as it was given; its file's name where the run is older than that."""
    created: str
    stages: tuple[StageStatus, ...]
    training: Training | None
    """The training stage that is begun and not done."""
    jobs: JobsStatus
    attempts: dict[str, tuple[Attempt, ...]]
    """By training stage."""
    faults: tuple[str, ...]
    """Files that could not be read."""
    advice: Advice
