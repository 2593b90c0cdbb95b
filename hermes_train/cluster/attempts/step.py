"""A Slurm step: a script on each node of the job, waited for while signals may come."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hermes_train.cluster.attempts.allocation import Allocation, Standing
from hermes_train.training.watch import signals

_LOOK_SECONDS = 0.5


class StepEnd(StrEnum):
    """Why the wait for a step is over."""

    ENDED = "ended"
    OUT_OF_TIME = "out_of_time"


@dataclass(frozen=True)
class Step:
    """What came of a step; `asked` is the first signal that came meanwhile."""

    end: StepEnd
    code: int
    asked: signal.Signals | None


def srun_command(nodes: int, script: Sequence[str]) -> list[str]:
    """Return the command that runs a script once on each node of the job."""
    return [
        *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        # One node's end is the end of all: its ranks are waited for by the others.
        *("--kill-on-bad-exit=1", "--wait=60"),
        # A site's SLURM_EXPORT_ENV=NONE would keep from the ranks where they meet.
        "--export=ALL",
        # The ranks share the node's cores among themselves; a task of one core would have them all on it.
        "--cpu-bind=none",
        *script,
    ]


class StepRunner:
    """Runs steps of one job, and passes to them what the job is asked."""

    def __init__(
        self, allocation: Allocation, signal_seconds: float, note: Callable[[signal.Signals], None]
    ) -> None:
        """A step has `signal_seconds` to save once a signal came; `note` is told of the first."""
        self._allocation = allocation
        self._save_seconds = signal_seconds - min(30.0, signal_seconds / 10)
        self._note = note
        self.asked: signal.Signals | None = None

    def run(
        self, script: Sequence[str], environment: Mapping[str, str], seconds: float | None, saves: bool
    ) -> Step:
        """Run `script` on all nodes, for at most so many seconds where they are given.

        A signal reaches the script's processes where it `saves`; otherwise the step is left where it stands.
        """
        deadline = time.monotonic() + seconds if seconds is not None else None
        process = subprocess.Popen(
            srun_command(len(self._allocation.nodes), script), env=dict(environment), stdin=subprocess.DEVNULL
        )
        while (code := process.poll()) is None:
            time.sleep(_LOOK_SECONDS)
            if self.asked is None and (received := signals.requested()) is not None:
                deadline = time.monotonic() + (self._save_seconds if saves else 0.0)
                self._take(received)
                if saves:
                    self._pass_on(received, process)
            if deadline is not None and time.monotonic() > deadline:
                process.kill()
                process.wait()
                return Step(StepEnd.OUT_OF_TIME, process.returncode, self.asked)
        return Step(StepEnd.ENDED, code, self.asked)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Return whether `condition` came to hold within so many seconds; a signal ends the wait."""
        deadline = time.monotonic() + seconds
        while not condition():
            if (received := signals.requested()) is not None:
                self._take(received)
                return False
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _take(self, received: signal.Signals) -> None:
        self.asked = received
        self._note(received)

    def _pass_on(self, received: signal.Signals, srun: subprocess.Popen[bytes]) -> None:
        """Tell the ranks, unless Slurm has: it signals every process of a job that it ends. Told twice, torchrun would
        leave its ranks alone."""
        if received is signal.SIGUSR1 or self._allocation.standing() is Standing.RUNS:
            srun.send_signal(signal.SIGUSR1)
