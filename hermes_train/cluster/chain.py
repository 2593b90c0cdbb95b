"""The jobs of a run on Slurm: one for each stage that is not done, each after the one before it.

Pure: from a recipe, what is done of its run and the settings of the site to command lines of sbatch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_train.cluster.environment import FILE_NAME, LAUNCH, OF_HOSTS, ClusterEnvironment
from hermes_train.cluster.run_jobs import mark_of
from hermes_train.recipe.load import LoadedRecipe
from hermes_train.recipe.schema import ClusterSection
from hermes_train.runs import JOBS, STAGES, TRAINING, StageState, Standing

_MAY_SUBMIT_ARRAYS = ("filter", "pack")


@dataclass(frozen=True)
class RunOnSlurm:
    """One run and where it is to be made."""

    loaded: LoadedRecipe
    run_folder: Path
    environment: ClusterEnvironment
    evaluation_gpus: int
    """GPUs that hold the model which answers; 0 where the recipe is for CPUs."""

    @property
    def cluster(self) -> ClusterSection:
        """The nodes that the recipe is for."""
        return self.loaded.recipe.cluster

    @property
    def exported(self) -> dict[str, str]:
        """What the jobs find in their environment beside the user's own variables."""
        return {
            # A batch script is run from a copy, and does not know where it lay.
            "HERMES_CHECKOUT": str(LAUNCH.parent),
            FILE_NAME: str(self.environment.file.resolve()),
        }

    def log_folder(self, stage: str) -> Path:
        """Return where the output of a stage's jobs goes."""
        return self.run_folder / JOBS / stage


@dataclass(frozen=True)
class Job:
    """One stage as a job: sbatch's options but for the dependency, the script, and what the script is given."""

    stage: str
    nodes: int
    time: str | None
    options: tuple[str, ...]
    script: tuple[str, ...]
    after: str | None
    """The stage whose job has to end well before this one starts."""

    def command(self, after: int | None = None) -> list[str]:
        """Return the command line that submits the job after the job `after`."""
        return ["sbatch", "--parsable", *self.options, *_dependency(after), *self.script]

    def shell_command(self) -> str:
        """Return the command line for bash, in which a variable stands for the job that comes before."""
        dependency = [] if self.after is None else _dependency(f'"${{{variable(self.after)}}}"')
        return " ".join(
            [
                *map(shlex.quote, ["sbatch", "--parsable", *self.options]),
                *dependency,
                *map(shlex.quote, self.script),
            ]
        )


def chain_jobs(run: RunOnSlurm, standings: Mapping[str, Standing], until: str) -> tuple[Job, ...]:
    """Return the jobs of the stages up to `until` that are not done, in order; none where all are."""
    stages = [
        stage for stage in STAGES[: STAGES.index(until) + 1] if standings[stage].state is not StageState.DONE
    ]
    return tuple(_job(run, stage, before) for stage, before in zip(stages, [None, *stages], strict=False))


def script(run: RunOnSlurm, jobs: Sequence[Job]) -> str:
    """Return a bash script that submits the jobs: the commands that `launch` runs, one a line."""
    folders = [shlex.quote(str(run.log_folder(job.stage))) for job in jobs]
    lines = [
        "#!/usr/bin/env bash",
        f"# Submits the run {run.loaded.recipe.name} to Slurm, a job for each stage.",
        "set -euo pipefail",
        # What hosts without Slurm are told would be taken for the job's own.
        f"unset {' '.join(OF_HOSTS)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in run.exported.items()),
        f"mkdir -p {' '.join(folders)}",
    ]
    for job in jobs:
        is_last = job is jobs[-1]
        lines.append(job.shell_command() if is_last else f"{variable(job.stage)}=$({job.shell_command()})")
    return "\n".join(lines) + "\n"


def variable(stage: str) -> str:
    """Return the name of the variable that holds the id of a stage's job."""
    return f"{stage}_job"


def _dependency(after: int | str | None) -> list[str]:
    # A job whose dependency has failed would wait for good.
    return [] if after is None else [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]


def _job(run: RunOnSlurm, stage: str, after: str | None) -> Job:
    trains = stage in TRAINING
    name = "train.sbatch" if trains else "stage.sbatch"
    time = run.environment.time if trains else run.environment.cpu_time
    return Job(
        stage=stage,
        nodes=run.cluster.nodes if trains else 1,
        time=time,
        options=(
            f"--job-name={run.loaded.recipe.name}-{stage}",
            f"--comment={mark_of(run.run_folder)}",
            f"--output={run.log_folder(stage)}/%j.log",
            # Whatever the site's default is: the jobs need the user's variables.
            "--export=ALL",
            *(_training_nodes(run) if trains else _one_process(run, stage)),
            *_given("time", time),
            f"--signal=B:USR1@{run.environment.signal_seconds}",
            *_given("account", run.environment.account),
            *_given("qos", run.environment.qos),
            *run.environment.sbatch,
        ),
        script=(str(LAUNCH / "slurm" / name), stage, *_arguments(run)),
        after=after,
    )


def _training_nodes(run: RunOnSlurm) -> list[str]:
    """Whole nodes, with one launcher on each, which starts the ranks."""
    cluster = run.cluster
    return [
        f"--nodes={cluster.nodes}",
        "--ntasks-per-node=1",
        "--exclusive",
        # Not a guess at how much: all that the nodes have, which --exclusive alone does not give.
        "--mem=0",
        *_gpus(0 if cluster.gpu == "none" else cluster.gpus_per_node),
        *_given("partition", run.environment.partition),
        *_given("constraint", run.environment.constraint),
    ]


def _one_process(run: RunOnSlurm, stage: str) -> list[str]:
    gpus = run.evaluation_gpus if stage == "evaluate" else 0
    environment = run.environment
    place = (
        [*_given("partition", environment.partition), *_given("constraint", environment.constraint)]
        if gpus
        else _given("partition", environment.cpu_partition)
    )
    # An array of its own may need the very node that the stage waits on: it leaves it room.
    leaves_room = stage in _MAY_SUBMIT_ARRAYS and run.loaded.recipe.data.engine.executor == "slurm"
    memory = [] if leaves_room else _given("mem", environment.memory)
    return ["--nodes=1", "--ntasks=1", f"--cpus-per-task={environment.cpus}", *memory, *_gpus(gpus), *place]


def _gpus(count: int) -> list[str]:
    return [f"--gpus-per-node={count}"] if count else []


def _given(option: str, value: str | None) -> list[str]:
    return [] if value is None else [f"--{option}={value}"]


def _arguments(run: RunOnSlurm) -> list[str]:
    """What `hermes-train STAGE` is given."""
    return [str(run.loaded.path), "--runs", str(run.run_folder.parent), *run.loaded.override_options]
