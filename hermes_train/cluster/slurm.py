"""Slurm's own commands, typed: what this project asks of sbatch, squeue, scontrol, sinfo and scancel.

Only forms that Slurm 20.02 knows already: not every Slurm that is in use can answer in JSON.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from data_filters.errors import RunFailedError, UserError
from data_filters.executors.slurm_site import query_environment, submission_environment
from hermes_train.cluster.environment import OF_HOSTS

_ANSWER_SECONDS = 60.0
"""How long a command may take; Slurm's own limit of a message is 10 to 100 seconds."""

_UNKNOWN_JOB = "Invalid job id"
_UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|Could not establish a configuration source|Socket timed out"
    r"|Zero Bytes were transmitted|[Cc]onnection (refused|timed out)|Unable to establish control"
    r"|endpoint is not connected|standby mode|Unexpected message received|Protocol authentication error"
    r"|temporarily unable"
)
_UNUSABLE = re.compile(r"down|drain|fail|error|maint|unknown|inval|future", re.IGNORECASE)
_FEATURE = re.compile(r"[\w.:+-]+")
_PREFIX = re.compile(
    r"^(?:(?:sbatch|squeue|scontrol|sinfo|scancel|slurm_load_\w+)(?: error|: error|: fatal)?|allocation failure): *"
)
_JOB_FIELDS = ("%A", "%u", "%T", "%r", "%P", "%D", "%N", "%S", "%M", "%l", "%E", "%k", "%j")
_PARTITION_FIELDS = ("%R", "%a", "%l", "%D", "%G")
_PAIR = re.compile(r"(?:^|\s)([A-Za-z][\w/:.]*)=")


class SlurmError(RunFailedError):
    """A command of Slurm failed; the text is what it said."""


class SlurmUnreachableError(SlurmError):
    """The controller gave no answer, so that nothing is known of the jobs."""


class SubmissionRefusedError(UserError):
    """sbatch does not take a job; the text is the reason it gave."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs. As squeue prints one, with the fields of `_JOB_FIELDS`:

    17|ada|PENDING|Dependency|gpu|16||N/A|0:00|1-00:00:00|afterok:16(unfulfilled)|hermes-train /runs/x|x-sft
    """

    job: int
    user: str
    state: str
    """PENDING, RUNNING, COMPLETING, ... as Slurm names it."""
    reason: str
    """Why it waits, as a word of Slurm's, such as Priority; None where it does not."""
    partition: str
    nodes: int
    node_list: str
    """Names in Slurm's short form, such as n[1-4]; empty where it has none yet."""
    start: datetime | None
    """When it started or is expected to; None where Slurm does not know."""
    elapsed: str
    time_limit: str
    dependency: str
    """Such as afterok:16(unfulfilled); empty where it waits for no job."""
    comment: str
    name: str


@dataclass(frozen=True)
class Partition:
    """A partition, or its nodes of one kind where it has several."""

    name: str
    is_up: bool
    time_limit: str
    nodes: int
    generic_resources: str
    """Such as gpu:8; empty where it has none."""


def require_slurm() -> None:
    """Raise UserError where Slurm's commands are not on the PATH."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "there is no sbatch on this machine; go to a login node of the cluster, or start the run on hosts "
            "without Slurm with --cluster torchrun"
        )


def submit(command: Sequence[str], exported: Mapping[str, str]) -> int:
    """Submit a job with a command line of sbatch, which must hold --parsable; returns the job's id.

    The job's environment is this process' own, without what is about other jobs and hosts, and what is `exported`.

    Raises SubmissionRefusedError with sbatch's reason, and SlurmUnreachableError.
    """
    # 1234, or 1234;cluster where --clusters is given.
    return int(_sbatch(command, exported).split()[-1].partition(";")[0])


def require_accepted(command: Sequence[str], exported: Mapping[str, str]) -> None:
    """Ask whether Slurm would take a job, without submitting it. Raises as `submit` does."""
    program, *options = command
    _sbatch([program, "--test-only", *options], exported)


def queued_jobs(jobs: Iterable[int] | None = None, user: str | None = None) -> list[QueuedJob]:
    """Return those of the `jobs`, or of a `user` (a name or number), that wait or run; all where neither is given.

    Raises SlurmUnreachableError, and SlurmError for anything else that squeue complains of.
    """
    # All: jobs in a partition that is hidden from the user are the user's nevertheless.
    command = ["squeue", "--noheader", "--all", "--noconvert", f"--format={'|'.join(_JOB_FIELDS)}"]
    if jobs is not None:
        wanted = sorted(set(jobs))
        if not wanted:
            return []
        command.append(f"--jobs={','.join(map(str, wanted))}")
    if user is not None:
        command.append(f"--user={user}")
    try:
        told = _run(command)
    except SlurmError as error:
        # Asked for a single job that has left the queue, squeue fails instead of printing nothing.
        if _UNKNOWN_JOB in str(error):
            return []
        raise
    return [read_queued_job(line) for line in told.splitlines()]


def read_queued_job(line: str) -> QueuedJob:
    """Read a line of squeue. Raises ValueError where it has another form."""
    # The name comes last: it alone may hold a bar.
    job, user, state, reason, partition, nodes, names, start, elapsed, limit, dependency, comment, name = (
        line.split("|", len(_JOB_FIELDS) - 1)
    )
    return QueuedJob(
        job=int(job),
        user=user,
        state=state,
        reason=reason,
        partition=partition,
        nodes=int(nodes),
        node_list=names,
        start=None if start in ("N/A", "") else datetime.fromisoformat(start),
        elapsed=elapsed,
        time_limit=limit,
        dependency="" if dependency == "(null)" else dependency,
        comment="" if comment == "(null)" else comment,
        name=name,
    )


def job_record(job: int) -> dict[str, str] | None:
    """Return what `scontrol show job` tells of a job, by its names (JobState, ExcNodeList, Restarts, NodeList, ...).

    Slurm knows a job for a while after its end (MinJobAge, 300 seconds by default); None where it does no more.
    Raises SlurmUnreachableError.
    """
    try:
        told = _run(["scontrol", "--oneliner", "show", "job", str(job)])
    except SlurmError as error:
        if _UNKNOWN_JOB in str(error):
            return None
        raise
    return read_record(told)


def read_record(line: str) -> dict[str, str]:
    """Read `Name=value` pairs: `JobId=17 JobName=x sft JobState=RUNNING Reason=None`; values may hold blanks."""
    starts = list(_PAIR.finditer(line))
    ends = [found.start() for found in starts[1:]] + [len(line)]
    return {found[1]: line[found.end() : end].strip() for found, end in zip(starts, ends, strict=True)}


def partitions() -> list[Partition]:
    """Return the partitions that the user may see. Raises SlurmError."""
    told = _run(["sinfo", "--noheader", "--noconvert", f"--format={'|'.join(_PARTITION_FIELDS)}"])
    found = []
    for line in told.splitlines():
        # gpu|up|1-00:00:00|16|gpu:8
        name, availability, limit, nodes, resources = line.split("|", len(_PARTITION_FIELDS) - 1)
        found.append(
            Partition(
                name, availability == "up", limit, int(nodes), "" if resources == "(null)" else resources
            )
        )
    return found


def node_record(node: str) -> dict[str, str]:
    """Return what `scontrol show node` tells of a node by its names (NodeAddr, State, ...). Raises SlurmError."""
    return read_record(_run(["scontrol", "--oneliner", "show", "node", node]))


def usable_nodes(partition: str, constraint: str = "", reservation: str = "") -> list[str]:
    """Return the nodes of a partition that a job can start on for certain, now or when they are free.

    `constraint` and `reservation` are the job's own. Of a constraint that says more than which features each node has,
    such as [rack1|rack2], it cannot be told which nodes satisfy it: then there are none. Raises SlurmError.
    """
    told = _run(["sinfo", "--noheader", "--Node", f"--partition={partition}", "--format=%N|%T|%f"])
    usable = read_usable_nodes(told, constraint)
    if not reservation:
        return usable
    record = read_record(_run(["scontrol", "--oneliner", "show", "reservation", reservation]))
    reserved = set(host_names(record.get("Nodes", "").replace("(null)", "")))
    return [name for name in usable if name in reserved]


def read_usable_nodes(told: str, constraint: str) -> list[str]:
    """Read sinfo's lines, `n1|idle|h100,rack1` and `n2|down*|(null)`: a star stands at nodes that do not answer."""
    wanted = set(constraint.split("&")) if constraint else set()
    if not all(_FEATURE.fullmatch(feature) for feature in wanted):
        return []
    found = []
    for line in told.splitlines():
        name, state, features = line.split("|", 2)
        is_up = not (state.endswith("*") or _UNUSABLE.match(state))
        if is_up and wanted <= set(features.split(",")):
            found.append(name)
    return found


def host_names(node_list: str) -> list[str]:
    """Return the names that a short form such as n[1-3] stands for. Raises SlurmError."""
    return _run(["scontrol", "show", "hostnames", node_list]).split() if node_list else []


def requeue(job: int) -> None:
    """End a job's try and put it back into the queue. Raises SlurmError."""
    _run(["scontrol", "requeue", str(job)])


def exclude_nodes(job: int, nodes: Iterable[str]) -> None:
    """Let a job that waits, or is being put back, start on all nodes but these. Raises SlurmError where it runs."""
    _run(["scontrol", "update", f"JobId={job}", f"ExcNodeList={','.join(sorted(nodes))}"])


def cancel(jobs: Iterable[int]) -> None:
    """Cancel jobs; those that have ended are left as they are. Raises SlurmError."""
    wanted = [str(job) for job in jobs]
    if wanted:
        _run(["scancel", "--quiet", *wanted])


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of the environment a new job is given.

    Not an outer job's size, nor what the hosts of a run without Slurm are told: the job would believe it of its nodes.
    """
    return {
        name: value for name, value in submission_environment(environment).items() if name not in OF_HOSTS
    }


def _sbatch(command: Sequence[str], exported: Mapping[str, str]) -> str:
    try:
        return _run(command, {**job_environment(os.environ), **exported})
    except SlurmUnreachableError:
        raise
    except SlurmError as error:
        raise SubmissionRefusedError(str(error)) from error


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            env=query_environment(os.environ) if environment is None else environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER_SECONDS,
        )
    except FileNotFoundError as error:
        raise SlurmError(f"there is no {command[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SlurmUnreachableError(
            f"{command[0]} gave no answer in {_ANSWER_SECONDS:g} seconds; is slurmctld up?"
        ) from error
    if done.returncode == 0:
        return done.stdout
    text = _said(done.stderr) or f"{command[0]} ended with code {done.returncode}"
    raise SlurmUnreachableError(text) if _UNREACHABLE.search(done.stderr) else SlurmError(text)


def _said(errors: str) -> str:
    """Return the lines of a command's complaint as one, without the command's name before each."""
    lines = [_PREFIX.sub("", line.strip()) for line in errors.splitlines()]
    return "; ".join(line for line in lines if line)
