"""A run on hosts without Slurm: one host alone, or several on each of which the same command was started.

The host of the rendezvous does the stages of one process; the check of the hosts (preflight) and the stages that train
after it run on all, through launch/torchrun.sh.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster.environment import FILE_NAME, LAUNCH
from hermes_train.cluster.host_orders import HOSTS, FirstHost, OtherHost
from hermes_train.cluster.launching import LaunchRequest, only_launch, prepare_launch, require_own
from hermes_train.cluster.preflight.presence import FOLDER
from hermes_train.cluster.preflight.record import FILE, read_record
from hermes_train.cluster.rendezvous import VARIABLE, Endpoint, is_here, parse_endpoint, require_free
from hermes_train.runs import JOBS, STAGES, TRAINING, StageState, fingerprint
from hermes_train.training.watch import signals

if TYPE_CHECKING:
    from hermes_train.pipeline import Pipeline

PREFLIGHT = "preflight"


@dataclass(frozen=True)
class HostRun:
    """A run on hosts, as each of them sees it."""

    pipeline: Pipeline
    until: str
    nodes: int
    ranks_per_node: int
    endpoint: Endpoint | None
    """Where the hosts meet; None for one host alone."""
    settings: Path
    """The site's settings."""

    def command(self, part: str) -> list[str]:
        """Return the command that makes a stage or the check before training, or what this host does of it."""
        script = LAUNCH / ("torchrun.sh" if runs_on_ranks(part) else "stage.sh")
        loaded, runs = self.pipeline.loaded, self.pipeline.run_folder.path.parent
        return [str(script), part, str(loaded.path), "--runs", str(runs), *loaded.override_options]

    @property
    def variables(self) -> dict[str, str]:
        """What the scripts find in their environment."""
        meeting = {VARIABLE: str(self.endpoint)} if self.endpoint else {}
        return {
            FILE_NAME: str(self.settings.resolve()),
            "HERMES_NODES": str(self.nodes),
            "HERMES_RANKS_PER_NODE": str(self.ranks_per_node),
            **meeting,
        }

    @property
    def fingerprint(self) -> str:
        """A name for what is made, equal on hosts that make the same."""
        return fingerprint([self.pipeline.recipe.model_dump(mode="json"), self.pipeline.inputs, self.until])

    def stages(self) -> list[str]:
        """Return the stages that are not done, in order."""
        wanted = STAGES[: STAGES.index(self.until) + 1]
        return [stage for stage in wanted if self.pipeline.standing(stage).state is not StageState.DONE]

    def parts(self) -> list[str]:
        """Return these stages with the check of the hosts before the first one that trains: they stay the same."""
        stages = self.stages()
        first = next((index for index, stage in enumerate(stages) if stage in TRAINING), None)
        return stages if first is None else [*stages[:first], PREFLIGHT, *stages[first:]]


def runs_on_ranks(part: str) -> bool:
    """Say whether a part of a run is made by the ranks of all hosts."""
    return part == PREFLIGHT or part in TRAINING


def launch_on_hosts(request: LaunchRequest, dry_run: bool, console: Console) -> None:
    """Make the stages that are not done, on this host or together with others; with `dry_run`, print the commands.

    Raises UserError where the recipe does not fit or the hosts cannot meet, RunFailedError where a stage fails here or
    on the first host, and StopSignal where a signal ended it.
    """
    run = _host_run(request)
    if dry_run:
        sys.stdout.write(script(run))
        return
    require_own(run.pipeline.run_folder.path)
    os.environ |= run.variables

    def tell(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    with signals.stop_signals():
        if run.endpoint is None or is_here(run.endpoint):
            _lead(run, tell)
        else:
            _follow(run, run.endpoint, tell)


def script(run: HostRun) -> str:
    """Return a bash script with the commands of each host: those that `launch` runs, one a line."""
    parts = run.parts()
    first = [shlex.join(run.command(part)) for part in parts]
    head = ["#!/usr/bin/env bash", f"# Makes the run {run.pipeline.recipe.name}, stage after stage."]
    settings = [
        "set -euo pipefail",
        *(f"export {name}={shlex.quote(value)}" for name, value in run.variables.items()),
    ]
    if run.endpoint is None:
        return "\n".join([*head, *settings, *first]) + "\n"
    others = [shlex.join(run.command(part)) for part in parts if runs_on_ranks(part)]
    # A host that comes early waits ten minutes for the first one.
    lines = [
        *head,
        f"# Start it on {run.endpoint.host} with the argument `first`. When that comes to {PREFLIGHT},",
        f"# start it on each of the other hosts ({run.nodes - 1}) with the argument `other`.",
        *(*settings, "case ${1-} in", "first)", *(f"    {line}" for line in first), "    ;;"),
        *("other)", *(f"    {line}" for line in others or ["true"]), "    ;;"),
        *('*) echo "error: name the part of this host, first or other" >&2 && exit 2 ;;', "esac"),
    ]
    return "\n".join(lines) + "\n"


def _host_run(request: LaunchRequest) -> HostRun:
    """Return the run, checked and planned. Raises UserError."""
    nodes, ranks = _number("HERMES_NODES"), _number("HERMES_RANKS_PER_NODE")
    asked = replace(request, nodes=request.nodes or nodes, gpus_per_node=request.gpus_per_node or ranks)
    prepared = prepare_launch(asked)
    pipeline = prepared.pipeline
    cluster = pipeline.recipe.cluster
    text = os.environ.get(VARIABLE)
    if cluster.nodes > 1 and not text:
        raise UserError(
            f"{pipeline.recipe.name} is for {cluster.nodes} hosts, which have to meet: set {VARIABLE} to one of "
            "them and a free port of it, such as node1:29500, and start the same command on each; or say --nodes 1"
        )
    endpoint = parse_endpoint(text) if cluster.nodes > 1 and text else None
    settings = prepared.on_slurm.environment.file
    return HostRun(pipeline, request.until, cluster.nodes, cluster.gpus_per_node, endpoint, settings)


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UserError(f"{name} is {text!r}; it has to be a whole number above 0")
    return int(text)


def _lead(run: HostRun, tell: Callable[[str], None]) -> None:
    """Make the stages on the first host, or the only one."""
    folder = run.pipeline.run_folder
    with only_launch(folder.path):
        with folder.locked():
            if run.endpoint is not None:
                # Now, and not after the stages of one process, which may take hours.
                require_free(run.endpoint)
            run.pipeline.open()
        if run.endpoint is None:
            _make_all(run, tell, lambda part: None)
        else:
            first = FirstHost(folder.path / HOSTS, run.fingerprint, run.nodes - 1, tell)
            with first.at_work():
                _make_all(run, tell, lambda part: _tell_others(first, part))
    tell(f"every stage up to {run.until} is done")


def _tell_others(first: FirstHost, part: str) -> None:
    if runs_on_ranks(part):
        first.begin_together(part)
    else:
        first.turn_to(part)


def _make_all(run: HostRun, tell: Callable[[str], None], before: Callable[[str], None]) -> None:
    """Make the stages that are not done, with the check before training; `before` is called with each."""
    for part in run.parts():
        tell(f"{part}: {shlex.join(run.command(part))}")
        before(part)
        if runs_on_ranks(part):
            _take_part(run, part)
        else:
            _make(run.command(part), part)


def _follow(run: HostRun, endpoint: Endpoint, tell: Callable[[str], None]) -> None:
    """Do what the first host orders."""
    if not run.stages():
        tell(f"every stage up to {run.until} is done")
        return
    other = OtherHost(run.pipeline.run_folder.path / HOSTS, run.fingerprint, endpoint.host, tell)
    other.follow(lambda part: _take_part(run, part))


def _take_part(run: HostRun, part: str) -> None:
    if part == PREFLIGHT:
        _check(run)
    else:
        _train(run, part)


def _check(run: HostRun) -> None:
    """Check the hosts. Raises RunFailedError with what is wrong with each where they are not fit."""
    folder = run.pipeline.run_folder.path / JOBS / FOLDER

    def written() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.glob(f"*/{FILE}")}

    before = written()
    try:
        _make(run.command(PREFLIGHT), PREFLIGHT)
    except RunFailedError as error:
        # The first rank, whose lines say why, may be another host's.
        found = [path for path, time in written().items() if before.get(path) != time]
        record = read_record(found[0]) if found else None
        if record is None or not record.lines():
            raise
        raise RunFailedError(f"not fit for training: {' | '.join(record.lines())}") from error


def _train(run: HostRun, stage: str) -> None:
    from hermes_train.training.torchrun import run_launcher

    hosts = f"{run.nodes} hosts" if run.nodes > 1 else "this host"
    where = f"on {hosts} x {run.ranks_per_node} ranks"
    run_launcher(run.command(stage), run.pipeline.run_folder.stage(stage).path, where)


def _make(command: Sequence[str], stage: str) -> None:
    """Make a stage of one process. Raises RunFailedError, or StopSignal when that is how it ended."""
    process = subprocess.Popen(command)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # A signal to this process alone; Ctrl-C has come to both.
        process.terminate()
        process.wait()
        raise
    if code == signals.EXIT_STOPPED:
        raise signals.StopSignal(f"{stage} was stopped by a signal")
    if code:
        raise RunFailedError(f"{stage} ended with code {code}; the lines above say why")
