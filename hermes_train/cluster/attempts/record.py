"""`<run>/jobs/<stage>/attempts.jsonl`: one line for each try of a training stage, never rewritten.

{"job":1234,"restart":1,"nodes":["n1","n2"],"started":"2026-11-22T09:14:03+00:00",
 "ended":"2026-11-22T09:20:11+00:00","from_step":500,"to_step":731,"outcome":"stopped",
 "text":"stopped by SIGUSR1 after step 731, which is saved; ...","left_out":[]}
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hermes_train.cluster.attempts.decision import Outcome, Progress
from hermes_train.training.watch.tries import Try

FILE = "attempts.jsonl"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A try that has ended."""

    job: int
    restart: int
    nodes: tuple[str, ...]
    started: str
    ended: str | None
    """None where the try left no word."""
    from_step: int
    to_step: int
    outcome: Outcome
    text: str
    left_out: tuple[str, ...] = ()
    """Nodes that the next try does without on account of this one."""

    @classmethod
    def of(
        cls, begun: Try, to_step: int, outcome: Outcome, text: str, left_out: tuple[str, ...] = ()
    ) -> Attempt:
        """Return the line for a try that ends now."""
        return cls(
            job=begun.job,
            restart=begun.restart,
            nodes=begun.nodes,
            started=begun.started,
            ended=now() if outcome is not Outcome.KILLED else None,
            from_step=begun.from_step,
            to_step=to_step,
            outcome=outcome,
            text=text,
            left_out=left_out,
        )

    @property
    def progress(self) -> Progress:
        """What it brought."""
        return Progress(self.outcome, self.from_step, self.to_step)


def now() -> str:
    """Return the time of day as the record has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_attempts(jobs: Path) -> list[Attempt]:
    """Return the tries of a stage in order; a line that a kill cut short is left out."""
    path = jobs / FILE
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [msgspec.json.decode(line, type=Attempt) for line in lines if line.endswith(b"}")]


def append_attempt(jobs: Path, attempt: Attempt) -> None:
    """Add a line, and see it to the disk: the node may be taken away next."""
    jobs.mkdir(parents=True, exist_ok=True)
    path = jobs / FILE
    cut = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("ab") as file:
        file.write((b"\n" if cut else b"") + msgspec.json.encode(attempt) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def killed(attempts: list[Attempt], last: Try | None, step: int) -> Attempt | None:
    """Return the line that the last try that was begun did not write itself; None where it did.

    `step` is that of the newest whole checkpoint. A try that a signal had reached was taken, not lost.
    """
    if last is None or any((one.job, one.restart) == last.place for one in attempts):
        return None
    if last.signal:
        return Attempt.of(last, step, Outcome.TAKEN, f"killed before it had saved, after {last.signal}")
    return Attempt.of(last, step, Outcome.KILLED, "killed without a word, or its first node was lost")
