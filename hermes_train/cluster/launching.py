"""Submit a run to Slurm as a chain of jobs: all of it or nothing, and never twice."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster import slurm
from hermes_train.cluster.chain import Job, RunOnSlurm, chain_jobs, script
from hermes_train.cluster.chain_record import Chain, SubmittedJob, write_chain
from hermes_train.cluster.environment import read_environment
from hermes_train.cluster.run_jobs import queued_jobs_of, require_none_before_launch
from hermes_train.plan.answers import evaluation_gpus
from hermes_train.plan.plan import Plan, PlanRequest, make_plan
from hermes_train.plan.stages import Fit
from hermes_train.plan.tables import options
from hermes_train.recipe.load import load_recipe
from hermes_train.runs import DEFAULT_RUNS, STAGES, take_lock

if TYPE_CHECKING:
    from rich.table import Table

    from hermes_train.pipeline import Pipeline

_ON_GPUS_ONLY = {Fit.GPU_MEMORY, Fit.SAMPLING}
"""What keeps a stage from GPUs, and says nothing about CPUs."""


@dataclass(frozen=True)
class LaunchRequest:
    """What the user asked for; None takes what the recipe's `cluster` section says."""

    recipe: Path
    overrides: Sequence[str] = ()
    runs: Path = DEFAULT_RUNS
    until: str = STAGES[-1]
    nodes: int | None = None
    gpus_per_node: int | None = None

    @property
    def all_overrides(self) -> list[str]:
        """The overrides, those among them that say on which nodes: the jobs have to know it too."""
        asked = {"nodes": self.nodes, "gpus_per_node": self.gpus_per_node}
        return [*self.overrides, *(f"cluster.{key}={value}" for key, value in asked.items() if value)]


@dataclass(frozen=True)
class PreparedLaunch:
    """A run that fits on its nodes."""

    pipeline: Pipeline
    on_slurm: RunOnSlurm


def launch_on_slurm(request: LaunchRequest, dry_run: bool, console: Console) -> None:
    """Submit the stages that are not done, and show their jobs; with `dry_run`, only print the commands.

    Raises UserError where the recipe does not fit, Slurm does not take a job, or jobs of the run are in the queue
    already: then nothing was submitted. Raises RunFailedError where Slurm failed in the middle: what was submitted is
    cancelled.
    """
    prepared = prepare_launch(request)
    pipeline, run = prepared.pipeline, prepared.on_slurm
    jobs = chain_jobs(run, {stage: pipeline.standing(stage) for stage in STAGES}, request.until)
    if not jobs:
        console.print(f"every stage up to {request.until} is done; there is nothing to launch")
    elif dry_run:
        sys.stdout.write(script(run, jobs))
    else:
        slurm.require_slurm()
        require_own(run.run_folder)
        with only_launch(run.run_folder):
            require_none_before_launch(run.run_folder)
            _require_all_accepted(run, jobs)
            with pipeline.run_folder.locked():
                pipeline.open()
            chain = _submit_all(run, jobs)
        _show(run, jobs, chain, console)


def prepare_launch(request: LaunchRequest) -> PreparedLaunch:
    """Load, check and plan a run. Raises UserError where the recipe is wrong or does not fit on its nodes."""
    from hermes_train.pipeline import Pipeline

    if request.until not in STAGES:
        raise UserError(
            f"--until {request.until}: there is no such stage; the stages are {', '.join(STAGES)}"
        )
    environment = read_environment()
    loaded = load_recipe(request.recipe, request.all_overrides)
    plan = make_plan(PlanRequest(request.recipe, request.all_overrides, request.runs))
    _require_fit(plan)
    on_cpu = loaded.recipe.cluster.gpu == "none"
    gpus = 0 if on_cpu else evaluation_gpus(plan.recipe, plan.model.architecture, plan.machines)
    pipeline = Pipeline(loaded, request.runs, Console(quiet=True))
    return PreparedLaunch(pipeline, RunOnSlurm(loaded, pipeline.run_folder.path, environment, gpus))


def _require_fit(plan: Plan) -> None:
    """Raise UserError with what helps where a training stage cannot run on the nodes."""
    cluster = plan.recipe.cluster
    on_cpu = cluster.gpu == "none"
    beside = {Fit.FITS, *(_ON_GPUS_ONLY if on_cpu else ())}
    in_the_way = [stage.verdict for stage in plan.stages if stage.verdict.fit not in beside]
    if not in_the_way:
        return
    fewest = [] if plan.fewest.nodes is None else [f"--nodes {plan.fewest.nodes}"]
    here = [options(remedy.overrides) for remedy in plan.remedies if remedy.fits_here]
    ways = f"it fits with {', or with '.join([*fewest, *here])}; " if fewest or here else ""
    machines = f"{cluster.nodes} x {cluster.gpus_per_node} ranks on CPUs" if on_cpu else str(plan.machines)
    raise UserError(
        f"{plan.recipe.name} does not fit on {machines}: {in_the_way[0].reason}; {ways}"
        "`hermes-train plan` has the figures and tells what else helps; nothing was submitted"
    )


def require_own(run_folder: Path) -> None:
    """Raise UserError for a run folder of another user."""
    if not run_folder.exists():
        return
    owner = run_folder.stat().st_uid
    if owner != os.getuid():
        raise UserError(
            f"{run_folder} is the run of another user ({_user_name(owner)}); choose another folder with --runs"
        )
    if not os.access(run_folder, os.W_OK | os.X_OK):
        raise UserError(f"{run_folder} cannot be written to; choose another folder with --runs")


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


@contextmanager
def only_launch(run_folder: Path) -> Iterator[None]:
    """Hold the right to launch this run. Raises UserError where another launch holds it.

    Not the run's own lock: the first job may begin before the last is submitted.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    with (run_folder / ".launch.lock").open("ab") as lock:
        if not take_lock(lock, run_folder):
            raise UserError(f"{run_folder} is being launched by another process; nothing was submitted")
        yield


def _require_all_accepted(run: RunOnSlurm, jobs: Sequence[Job]) -> None:
    """Ask Slurm about every job before the first is submitted. Raises UserError with its reason."""
    for job in jobs:
        try:
            slurm.require_accepted(job.command(), run.exported)
        except slurm.SubmissionRefusedError as error:
            raise UserError(
                f"Slurm does not take the job of {job.stage} ({_asked(job)}): {error}; nothing was submitted. "
                f"{_offer()} The settings are in {run.environment.file}"
            ) from error


def _asked(job: Job) -> str:
    shown = ("--nodes", "--gpus-per-node", "--cpus-per-task", "--partition", "--time", "--account", "--qos")
    return " ".join(option for option in job.options if option.startswith(shown))


def _offer() -> str:
    """Return the partitions that there are, in words."""
    try:
        found = slurm.partitions()
    except slurm.SlurmError:
        return "`sinfo` shows what there is."
    kinds = (
        f"{part.name} ({part.nodes} nodes{f' with {part.generic_resources}' * bool(part.generic_resources)}, "
        f"time limit {part.time_limit}{'' if part.is_up else ', not up'})"
        for part in found
    )
    return f"Partitions here: {', '.join(kinds)}."


def _submit_all(run: RunOnSlurm, jobs: Sequence[Job]) -> Chain:
    """Submit the jobs, each after the one before, and record each at once; returns the record.

    Raises RunFailedError when that fails in the middle: what was submitted is cancelled.
    """
    for job in jobs:
        run.log_folder(job.stage).mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    chain = Chain(submitted=now, user=_user_name(os.getuid()), cluster="slurm")
    try:
        for job in jobs:
            before = chain.jobs[-1].job if chain.jobs else None
            command = job.command(before)
            number = slurm.submit(command, run.exported)
            after = () if before is None else (before,)
            chain = replace(chain, jobs=(*chain.jobs, SubmittedJob(job.stage, number, after, tuple(command))))
            write_chain(run.run_folder, chain)
    except (slurm.SlurmError, slurm.SubmissionRefusedError, OSError, KeyboardInterrupt) as error:
        stage = jobs[len(chain.jobs)].stage
        raise RunFailedError(
            f"the job of {stage} was not submitted ({error or type(error).__name__}); {_taken_back(run, chain)}"
        ) from error
    return chain


def _taken_back(run: RunOnSlurm, chain: Chain) -> str:
    """Cancel what a launch has submitted, and say how that went.

    The queue is asked too: Slurm may have taken a job whose id never came back.
    """
    numbers = {job.job for job in chain.jobs}
    try:
        numbers |= {job.job for job in queued_jobs_of(run.run_folder)}
        slurm.cancel(numbers)
    except slurm.SlurmError as error:
        standing = " ".join(map(str, sorted(numbers))) or "none that is known"
        return (
            f"and its jobs could not be cancelled ({error}). When Slurm answers, look with `squeue --me`; submitted: "
            f"{standing}"
        )
    write_chain(run.run_folder, replace(chain, jobs=()))
    return "the jobs before it were cancelled, and nothing of this launch is in the queue"


def _show(run: RunOnSlurm, jobs: Sequence[Job], chain: Chain, console: Console) -> None:
    numbers = [str(job.job) for job in chain.jobs]
    # Wider than a narrow terminal: paths are there to be copied.
    console.print(_table(run, jobs, chain), crop=False)
    for words, command in (
        ("how it goes: ", f"hermes-train status {run.run_folder}"),
        ("in the queue:", f"squeue --jobs={','.join(numbers)}"),
        ("end it:      ", f"scancel {' '.join(numbers)}"),
    ):
        console.print(f"{words} {command}", highlight=False, soft_wrap=True)


def _table(run: RunOnSlurm, jobs: Sequence[Job], chain: Chain) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    logs = [
        str(run.log_folder(job.stage) / f"{submitted.job}.log")
        for job, submitted in zip(jobs, chain.jobs, strict=True)
    ]
    for name in ("stage", "job", "nodes", "time limit"):
        table.add_column(name)
    table.add_column("output", no_wrap=True, min_width=max(map(len, logs)))
    for job, submitted, log in zip(jobs, chain.jobs, logs, strict=True):
        table.add_row(job.stage, str(submitted.job), str(job.nodes), job.time or "the partition's", log)
    return table
