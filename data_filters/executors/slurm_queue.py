"""An array of Slurm jobs in the queue: submitted, waited for, cancelled."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_filters.errors import RunFailedError, UserError
from data_filters.executors.slurm_site import query_environment

ARRAY_FILE = "array.txt"
"""Beside an array's logs: its job name, from before it is submitted until it is over."""

_LONGEST_PAUSE_SECONDS = 30.0
_PAUSE_OF_TIME_WAITED = 0.05
"""How late the end of an array is noticed, as a share of its time: a busy controller is not asked every second."""

_UNKNOWN_JOB = "Invalid job id"
_NEVER_STARTS = re.compile(
    r"^(\d+) PENDING (DependencyNeverSatisfied|BadConstraints|PartitionTimeLimit|PartitionNodeLimit)"
)
"""A line of squeue: `1234 PENDING BadConstraints`."""
_IS_HELD = re.compile(
    r"^(\d+) PENDING (JobHeldUser|JobHeldAdmin|JobHoldMaxRequeue|launch[ _]failed[ _]requeued[ _]held"
    r"|job[ _]requeued[ _]in[ _]held[ _]state)"
)
"""A line of squeue: `1234 PENDING launch failed requeued held`, in newer ones with underscores."""


def require_slurm(why: str = "data.engine.executor is slurm") -> None:
    """Raise UserError where this machine cannot submit jobs."""
    if shutil.which("sbatch") is not None:
        return
    if "SLURM_JOB_ID" in os.environ:
        raise UserError(
            f"{why}, but this job has no sbatch to submit jobs of its own with; set data.engine.executor: local, "
            "or make filter and pack on a login node"
        )
    raise UserError(
        f"{why}, but there is no sbatch on this machine; start the run on a login node of the cluster, or set "
        "data.engine.executor: local"
    )


def submit(stage: str, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Submit a script with `--parsable` among its options. Returns the job's id. Raises RunFailedError."""
    done = subprocess.run(
        ["sbatch", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        inside = (
            "; where jobs may not submit jobs, set data.engine.executor: local"
            if "SLURM_JOB_ID" in os.environ
            else ""
        )
        reason = "; ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.splitlines())
        raise RunFailedError(
            f"sbatch refused the jobs of {stage}: {reason}; correct data.engine.slurm or the site's HERMES_* "
            f"settings{inside}"
        )
    # 1234, or 1234;cluster where there are several.
    return done.stdout.strip().partition(";")[0]


def wait_for_earlier(logs: Path) -> None:
    """Wait for the array that an earlier run left at work with these logs, if there is one.

    Raises RunFailedError for one that can never start, and UserError where this machine has no Slurm to ask.
    """
    file = logs / ARRAY_FILE
    if not file.is_file():
        return
    require_slurm(f"{file} tells of Slurm jobs that may still be at work")
    with noted_end() as asked_to_end:
        wait_for_array(file.read_text(), None, asked_to_end)
    file.unlink()


def wait_for_array(name: str, job: str | None, asked_to_end: threading.Event) -> None:
    """Wait until no job of an array waits or runs; when this process is asked to end, cancel the array instead.

    The array is `job`, or the one called `name` where its number is not known. Raises RunFailedError for one that can
    never start, or that waits for a person to release it.
    """
    started = time.monotonic()
    chosen = f"--jobs={job}" if job else f"--name={name}"
    while (lines := _in_queue(chosen)) is None or lines:
        for line in lines or ():
            _require_hope(line)
        if lines:
            # By number: asked for a name, squeue looks through all jobs of the cluster.
            chosen = f"--jobs={lines[0].split()[0]}"
        if asked_to_end.wait(_pause(time.monotonic() - started)):
            cancel(name)
            return


def end_other_arrays(logs: Path, kept: str | None) -> None:
    """Cancel the arrays that earlier runs left at work under `logs`, all but that with the logs `logs/kept`.

    With other settings they would write what is no longer wanted. Raises UserError where there may be one and this
    machine has no Slurm to ask.
    """
    for file in sorted(logs.glob(f"*/{ARRAY_FILE}")):
        if file.parent.name != kept:
            require_slurm(f"{file} tells of Slurm jobs that may still be at work")
            name = file.read_text()
            cancel(name)
            wait_for_array(name, None, threading.Event())
            file.unlink()


def cancel(name: str) -> None:
    """Cancel the array called `name`; one that is over is left as it is."""
    subprocess.run(
        ["scancel", "--quiet", f"--name={name}"],
        env=query_environment(os.environ),
        capture_output=True,
        check=False,
    )


@contextmanager
def noted_end() -> Iterator[threading.Event]:
    """Note a SIGTERM within the block, and obey it at its end as the process would without this.

    Yields the event that a SIGTERM sets. Only the main thread hears signals; in any other the event is never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
        if asked.is_set():
            signal.raise_signal(signal.SIGTERM)


def _require_hope(line: str) -> None:
    """Raise RunFailedError where a job, as squeue tells of it, will not start by itself, however long one waits."""
    if never := _NEVER_STARTS.match(line):
        raise RunFailedError(
            f"Slurm job {never[1]} can never start ({never[2]}); cancel it with `scancel {never[1]}` and "
            "correct data.engine.slurm or the site's HERMES_* settings"
        )
    if held := _IS_HELD.match(line):
        raise RunFailedError(
            f"Slurm job {held[1]} is held ({held[2]}); let it go with `scontrol release {held[1]}`, or end it with "
            f"`scancel {held[1]}`, and give the same command again; `scontrol show job {held[1]}` has more"
        )


def _in_queue(chosen: str) -> list[str] | None:
    """Return `<job> <state> <reason>` for each job in the queue; None where the controller gives no answer."""
    done = subprocess.run(
        # All: jobs in a partition that is hidden from the user are the user's nevertheless.
        ["squeue", "--noheader", "--all", chosen, "--format=%F %T %r"],
        env=query_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout.splitlines()
    # A controller that does not answer for a while is no end of the job.
    return [] if _UNKNOWN_JOB in done.stderr else None


def _pause(waited: float) -> float:
    return min(_LONGEST_PAUSE_SECONDS, 1 + _PAUSE_OF_TIME_WAITED * waited)
