"""What tests of `hermes-train launch` share: a launch in this process, what it submitted, and the wait for its end."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from hermes_train.cluster import slurm
from hermes_train.cluster.launching import LaunchRequest, launch_on_slurm

RECIPES = Path(__file__).parents[2] / "recipes"
END_SECONDS = 1200


def launched(request: LaunchRequest) -> str:
    """Launch in this process; returns what is shown."""
    shown = io.StringIO()
    launch_on_slurm(request, dry_run=False, console=Console(file=shown, width=160))
    return shown.getvalue()


def submitted(run: Path) -> list[dict[str, Any]]:
    """The jobs of a run's latest launch, as its record tells."""
    jobs: list[dict[str, Any]] = json.loads((run / "jobs" / "chain.json").read_text())["jobs"]
    return jobs


def wait_until_empty() -> None:
    """Wait until no job waits or runs."""
    deadline = time.monotonic() + END_SECONDS
    while queued := slurm.queued_jobs():
        assert time.monotonic() < deadline, queued
        time.sleep(0.25)
