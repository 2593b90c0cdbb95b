"""What the wait for an array makes of squeue's words; real arrays are in tests/slurm."""

import threading
from pathlib import Path

import pytest

from data_filters.errors import RunFailedError
from data_filters.executors.slurm_queue import wait_for_array

SQUEUE = """#!/bin/sh
[ "$2" = --all ] && [ -z "$SQUEUE_STATES" ] || exit 0
cat LINES
: >LINES
"""
"""In squeue's place: what is in the queue, once and to those who ask for all of it; then nothing."""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lines that squeue has to tell, for a user with a filter in ~/.bashrc."""
    lines = tmp_path / "lines"
    squeue = tmp_path / "squeue"
    squeue.write_text(SQUEUE.replace("LINES", str(lines)))
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SQUEUE_STATES", "R")
    return lines


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("17 PENDING BadConstraints", r"job 17 can never start \(BadConstraints\); .*scancel 17"),
        *(
            (f"17 PENDING {reason}", rf"job 17 is held \({reason}\); .*scontrol release 17")
            for reason in (
                "launch failed requeued held",
                "launch_failed_requeued_held",
                "job_requeued_in_held_state",
                "JobHeldUser",
                "JobHeldAdmin",
                "JobHoldMaxRequeue",
            )
        ),
    ],
)
def test_an_array_that_does_not_start_by_itself_is_told_and_not_waited_for(
    queue: Path, told: str, message: str
) -> None:
    queue.write_text(f"17 RUNNING None\n{told}\n")

    with pytest.raises(RunFailedError, match=message):
        wait_for_array("hermes-filter", "17", threading.Event())


def test_an_array_that_waits_its_turn_is_waited_for_whatever_the_user_filters(queue: Path) -> None:
    queue.write_text("17 PENDING Priority\n17 PENDING BeginTime\n")

    wait_for_array("hermes-filter", None, threading.Event())

    assert queue.read_text() == "", "it was asked until the queue was empty"
