"""`preflight.json`: what a check found, host by host, for whoever decides what becomes of the job.

    {"outcome": "unfit", "seconds": 6.2, "ranks": 16,
     "hosts": [{"host": "n1", "problems": [], "warnings": []},
               {"host": "n2", "problems": ["torch 2.12.1; the others have 2.13.0"], "warnings": [],
                "gpus": "8 x NVIDIA H100 80GB HBM3", "clock_offset": 0.002, "between": 46.1, "within": 371.0}],
     "problems": [], "warnings": [], "unchecked": [], "together": 44.7}

`problems` outside of a host are those of all: another host in its place would have them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from data_filters.errors import UserError
from hermes_train.cluster.preflight.facts import HostFacts
from hermes_train.cluster.preflight.judgement import (
    Check,
    Finding,
    Outcome,
    Severity,
    between_hosts,
    outcome,
    within_host,
)
from hermes_train.runs import write_json

FILE = "preflight.json"


class HostRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host, what is wrong with it, and its figures: seconds, and GB/s of its slowest rank."""

    host: str
    problems: list[str]
    warnings: list[str]
    gpus: str = ""
    clock_offset: float | None = None
    between: float | None = None
    within: float | None = None
    shared_after: float | None = None
    """Seconds until it saw what the first host wrote in the run's folder."""


class Record(msgspec.Struct, frozen=True):
    """What a check found."""

    outcome: Outcome
    seconds: float
    """Since the first rank was started."""
    ranks: int
    hosts: list[HostRecord]
    problems: list[str]
    warnings: list[str]
    unchecked: list[str]
    together: float | None = None
    """GB/s of an all_reduce among all ranks."""
    no_room: str = ""
    """What the run's folder lacks, where a checkpoint does not fit in; other hosts would have no more."""

    @property
    def unfit_hosts(self) -> dict[str, list[str]]:
        """The hosts to leave out, each with what is wrong with it."""
        return {host.host: host.problems for host in self.hosts if host.problems}

    def lines(self) -> list[str]:
        """Return one line for each host with problems, and one for each problem of all."""
        of_hosts = [f"{host}: {'; '.join(problems)}" for host, problems in self.unfit_hosts.items()]
        return [*of_hosts, *self.problems]


def make_record(
    findings: Sequence[Finding], hosts: Sequence[HostFacts], ranks: int, seconds: float
) -> Record:
    """Return what the findings come to, and the figures of the hosts."""
    return Record(
        outcome=outcome(findings),
        seconds=round(seconds, 1),
        ranks=ranks,
        hosts=[_host_record(host, findings) for host in hosts],
        problems=_texts(findings, None, Severity.PROBLEM),
        warnings=_texts(findings, None, Severity.WARNING),
        unchecked=[
            finding.text if finding.host is None else f"{finding.host}: {finding.text}"
            for finding in findings
            if finding.severity is Severity.UNCHECKED
        ],
        together=_rounded(min(_together(hosts), default=None)),
        no_room="; ".join(
            finding.text
            for finding in findings
            if finding.check is Check.ROOM and finding.severity is Severity.PROBLEM
        ),
    )


def write_record(path: Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    write_json(path, msgspec.to_builtins(record))


def read_record(path: Path) -> Record | None:
    """Return what a check wrote; None where it wrote nothing. Raises UserError for a file that is no record."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise UserError(f"{path} is no record of a preflight ({error}); remove it") from error


def gpus_in_words(host: HostFacts) -> str:
    """Return `8 x NVIDIA H100 80GB HBM3`; empty where there are none."""
    names = [gpu.name for gpu in host.own.gpus] if host.own else []
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def _host_record(host: HostFacts, findings: Sequence[Finding]) -> HostRecord:
    return HostRecord(
        host=host.host,
        problems=_texts(findings, host.host, Severity.PROBLEM),
        warnings=_texts(findings, host.host, Severity.WARNING),
        gpus=gpus_in_words(host),
        clock_offset=_rounded(host.clock.offset if host.clock else None),
        between=_rounded(between_hosts(host)),
        within=_rounded(within_host(host)),
        shared_after=_rounded(host.shared_after),
    )


def _together(hosts: Sequence[HostFacts]) -> list[float]:
    speeds = [rank.speed for host in hosts for rank in host.ranks if rank.speed]
    return [speed.together for speed in speeds if speed.together is not None]


def _texts(findings: Sequence[Finding], host: str | None, severity: Severity) -> list[str]:
    return [finding.text for finding in findings if finding.host == host and finding.severity is severity]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
