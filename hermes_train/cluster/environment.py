"""The settings of a site: launch/cluster.env, or the copy of it that $HERMES_CLUSTER_ENV names.

bash reads the file, so that it means the same here and in the scripts of launch/. A name that is set in the
environment of the process wins over the file.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data_filters.errors import UserError

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
"""The scripts that start jobs and ranks, and the settings of a site with their defaults."""

FILE_NAME = "HERMES_CLUSTER_ENV"
"""The variable that names a site's own copy of the settings."""

OF_HOSTS = ("HERMES_NODES", "HERMES_RANKS_PER_NODE", "HERMES_RENDEZVOUS")
"""Names that a user sets on each host of a run without Slurm; inside a job they are set for each step."""

NOT_IN_THE_FILE = (FILE_NAME, "HERMES_CHECKOUT", "HERMES_TRY", *OF_HOSTS)
"""Names that scripts hand to each other, or that a user sets on each host of a run without Slurm."""

_BASH_OWN = {"_", "SHLVL", "PWD", "OLDPWD"}
_READ = 'set -aeu; . "$1" >&2; env -0'
_READ_SECONDS = 20
_MEMORY = re.compile(r"\d+[KMGT]?")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")
_MINUTE = 60

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class ClusterEnvironment:
    """What is particular to a site. None and empty leave the choice to Slurm; launch/cluster.env explains each."""

    file: Path
    account: str | None
    qos: str | None
    partition: str | None
    cpu_partition: str | None
    """`partition` where the site names none for jobs without GPUs."""
    time: str | None
    """The time limit of a job that trains, in a form of Slurm's such as 1-12:00:00."""
    cpu_time: str | None
    cpus: int
    memory: str | None
    """Of a job of one process, such as 512G; 0 is all that its node has."""
    constraint: str | None
    sbatch: tuple[str, ...]
    """More options of sbatch."""
    signal_seconds: int
    hang_minutes: float
    tries: int
    timeout_minutes: float
    modules: tuple[str, ...]
    virtual_environment: Path | None
    container: Path | None
    container_binds: tuple[str, ...]
    local_cache: Path | None
    variables: Mapping[str, str]
    """All that the file sets, with what the process' own environment has in its place."""


def read_environment(path: Path | None = None) -> ClusterEnvironment:
    """Return the settings in `path`, by default in the file that $HERMES_CLUSTER_ENV names, or else launch/cluster.env.

    Raises UserError for a file that is not there or that bash cannot read, for a name that is not known, and for a
    value that cannot be used.
    """
    named = os.environ.get(FILE_NAME)
    file = path or (Path(named).expanduser() if named else LAUNCH / "cluster.env")
    known = _known_names()
    _refuse_misspelt({name for name in os.environ if name.startswith("HERMES_")}, known)
    found = _read_file(file)
    return as_settings(file, found, {name: os.environ[name] for name in found if name in os.environ}, known)


def as_settings(
    file: Path, found: Mapping[str, str], own: Mapping[str, str], known: frozenset[str]
) -> ClusterEnvironment:
    """Return the settings that a file's variables make, those of the process' `own` in their place.

    `known` are the names that a file may set. Raises UserError for others that begin with HERMES_, and for a value
    that cannot be used.
    """
    unknown = sorted(name for name in found if name.startswith("HERMES_") and name not in known)
    if unknown:
        raise UserError(f"{file}: there is no setting {unknown[0]}{_suggestion(unknown[0], known)}")
    values = _Values(file, found, own)
    settings = ClusterEnvironment(
        file=file,
        account=values.text("HERMES_ACCOUNT"),
        qos=values.text("HERMES_QOS"),
        partition=values.text("HERMES_PARTITION"),
        cpu_partition=values.text("HERMES_CPU_PARTITION") or values.text("HERMES_PARTITION"),
        time=values.time("HERMES_TIME"),
        cpu_time=values.time("HERMES_CPU_TIME"),
        cpus=values.number("HERMES_CPUS", int, 16),
        memory=values.memory("HERMES_MEMORY"),
        constraint=values.text("HERMES_CONSTRAINT"),
        sbatch=values.words("HERMES_SBATCH"),
        signal_seconds=values.number("HERMES_SIGNAL_SECONDS", int, 600),
        hang_minutes=values.number("HERMES_HANG_MINUTES", float, 30.0),
        tries=values.number("HERMES_TRIES", int, 3),
        timeout_minutes=values.number("HERMES_TIMEOUT_MINUTES", float, 30.0),
        modules=values.words("HERMES_MODULES"),
        virtual_environment=values.path("HERMES_VENV"),
        container=values.path("HERMES_CONTAINER"),
        container_binds=tuple(filter(None, (values.text("HERMES_CONTAINER_BINDS") or "").split(","))),
        local_cache=values.path("HERMES_LOCAL_CACHE"),
        variables={**found, **own},
    )
    _require_time_to_save(settings)
    return settings


def seconds_of(time: str) -> int | None:
    """Return the seconds of a time in one of Slurm's forms; None for other text.

    The forms are minutes, minutes:seconds, hours:minutes:seconds, and days-hours with or without :minutes:seconds.
    """
    found = _TIME.fullmatch(time)
    if found is None:
        return None
    parts = [int(part) for part in found["clock"].split(":")]
    if found["days"] is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return ((int(found["days"]) * 24 + hours) * _MINUTE + minutes) * _MINUTE + seconds
    if len(parts) == 1:
        return parts[0] * _MINUTE
    hours, minutes, seconds = (0, *parts)[-3:]
    return (hours * _MINUTE + minutes) * _MINUTE + seconds


@dataclass(frozen=True)
class _Values:
    """The text of each name, as numbers and the like; an error says where the text stands."""

    file: Path
    found: Mapping[str, str]
    own: Mapping[str, str]

    def text(self, name: str) -> str | None:
        return self.own.get(name, self.found.get(name, "")).strip() or None

    def words(self, name: str) -> tuple[str, ...]:
        text = self.text(name) or ""
        try:
            return tuple(shlex.split(text))
        except ValueError as error:
            raise self._error(name, f"words with quotes in pairs ({error})") from error

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def time(self, name: str) -> str | None:
        text = self.text(name)
        if text is not None and seconds_of(text) is None:
            raise self._error(name, "a time such as 24:00:00 or 2-12:00:00")
        return text

    def memory(self, name: str) -> str | None:
        text = self.text(name)
        if text is not None and _MEMORY.fullmatch(text) is None:
            raise self._error(name, "an amount such as 512G, or 0 for all of the node's memory")
        return text

    def number(self, name: str, kind: Callable[[str], _Number], default: _Number) -> _Number:
        text = self.text(name)
        if text is None:
            return default
        try:
            value = kind(text)
        except ValueError:
            value = kind("0")
        # Not-a-number and infinity are read as numbers.
        if not 0 < value < float("inf"):
            raise self._error(name, "a whole number above 0" if kind is int else "a number above 0")
        return value

    def _error(self, name: str, wanted: str) -> UserError:
        where = "the environment" if name in self.own else str(self.file)
        return UserError(f"{name} is {self.text(name)!r} in {where}; it has to be {wanted}")


def _known_names() -> frozenset[str]:
    """The names that the file of this version explains. Raises UserError where it is not there."""
    file = LAUNCH / "cluster.env"
    if not file.is_file():
        raise UserError(
            f"there is no {file}: hermes-train was installed without its scripts; install it from its checkout with "
            "`pip install -e .`, and run it from there"
        )
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(found[1] for line in lines if (found := re.match(r"(\w+)=", line)))


def _read_file(file: Path) -> dict[str, str]:
    if not file.is_file():
        told = f", which ${FILE_NAME} names" if os.environ.get(FILE_NAME) else ""
        raise UserError(f"there is no file {file}{told}; copy launch/cluster.env and fill the copy in")
    # Names of ours that the process has would look as if the file had not set them.
    outer = {name: value for name, value in os.environ.items() if name not in _known_names()}
    try:
        done = subprocess.run(
            ["bash", "-c", _READ, "bash", str(file.resolve())],
            env=outer,
            capture_output=True,
            text=True,
            check=False,
            timeout=_READ_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"bash has not read {file} in {_READ_SECONDS} seconds; it should only set names"
        ) from error
    if done.returncode:
        raise UserError(f"bash cannot read {file}: {' '.join(done.stderr.split())}")
    pairs = (entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    return {name: value for name, value in pairs if name not in _BASH_OWN and outer.get(name) != value}


def _refuse_misspelt(names: set[str], known: frozenset[str]) -> None:
    """Raise UserError for a name of the environment that is nearly one of ours; others may belong to other programs."""
    allowed = known | set(NOT_IN_THE_FILE)
    for name in sorted(names - allowed):
        if near := _nearest(name, allowed):
            raise UserError(f"the environment has {name}, which is no setting; did you mean {near}?")


def _suggestion(name: str, known: frozenset[str]) -> str:
    near = _nearest(name, known)
    return f"; did you mean {near}?" if near else "; launch/cluster.env has them all"


def _nearest(name: str, names: frozenset[str]) -> str | None:
    prefix = "HERMES_"
    wanted = [known.removeprefix(prefix) for known in names if known.startswith(prefix)]
    near = difflib.get_close_matches(name.removeprefix(prefix), wanted, n=1, cutoff=0.8)
    return prefix + near[0] if near else None


def _require_time_to_save(settings: ClusterEnvironment) -> None:
    for name, time in (("HERMES_TIME", settings.time), ("HERMES_CPU_TIME", settings.cpu_time)):
        limit = seconds_of(time) if time else None
        if limit is not None and settings.signal_seconds >= limit:
            raise UserError(
                f"HERMES_SIGNAL_SECONDS is {settings.signal_seconds}, but {name} is {time}, which is {limit} seconds: "
                "jobs would be told to save before they begin; give them more time"
            )
