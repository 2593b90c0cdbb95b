"""Rank 0's way: it asks the others, judges, writes and shows the record, tells the verdict."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from data_filters.errors import UserError
from hermes_train.cluster.preflight.agenda import (
    AGENDA,
    CAME,
    MEASURED,
    READ,
    SAW,
    VERDICT,
    Agenda,
    Measured,
    Sight,
    Verdict,
)
from hermes_train.cluster.preflight.board import Board
from hermes_train.cluster.preflight.facts import Arrival, Clock, Expected, HostFacts, RankFacts, Speed
from hermes_train.cluster.preflight.following import SLACK_SECONDS, measure
from hermes_train.cluster.preflight.hosts import Host, assemble, choose_backend
from hermes_train.cluster.preflight.judgement import Check, Finding, Severity, judge
from hermes_train.cluster.preflight.measuring import NOTE_SECONDS, ask_clocks, write_note
from hermes_train.cluster.preflight.presence import PresenceFiles
from hermes_train.cluster.preflight.record import FILE, Record, make_record, write_record
from hermes_train.cluster.preflight.table import show
from hermes_train.cluster.preflight.task import End, Preflight
from hermes_train.cluster.slurm import SlurmError, host_names
from hermes_train.training.watch.signals import StopSignal, stop_signals

_NOTE = "note.txt"


def lead(preflight: Preflight, board: Board, files: PresenceFiles) -> End:
    """Return how the check ended, once its record is written and the others have heard the verdict."""
    ranks = range(preflight.place.ranks)
    try:
        # Only here: a rank that hangs in a driver or in an import would hear no signal that Python handles.
        with stop_signals():
            arrivals = board.gather(CAME, ranks, Arrival, preflight.patience)
            hosts = assemble(len(ranks), arrivals, files.read(), _allocated(preflight.environment))
            facts, findings, is_stuck = _examined(preflight, board, files, hosts)
    except StopSignal as stop:
        # torchrun ends its other ranks so where one of them dies: that it did is worth a record.
        _tell(preflight, files, *_broken_off(preflight, board, files, str(stop)))
        raise
    record = _tell(preflight, files, facts, findings)
    board.post(VERDICT, Verdict(record.outcome))
    # What keeps the board may end with this process.
    board.gather(READ, [rank for rank in arrivals if rank], bool, SLACK_SECONDS)
    (files.folder / _NOTE).unlink(missing_ok=True)
    return End(record.outcome, is_stuck)


def _examined(
    preflight: Preflight, board: Board, files: PresenceFiles, hosts: Sequence[Host]
) -> tuple[list[HostFacts], list[Finding], bool]:
    """Return what is known of the hosts after all have measured, what is wrong, and whether this rank is stuck."""
    backend, unmeasured = choose_backend(hosts)
    agenda = Agenda(tuple(host.ranks for host in hosts), backend, *_left_note(files))
    board.post(AGENDA, agenda)
    speakers = {host.name: host.ranks[0] for host in hosts[1:] if host.own}
    clocks = {hosts[0].name: Clock(0.0, 0.0)} | ask_clocks(board, speakers)
    own, is_stuck = measure(preflight, board, agenda)
    others = [rank for host in hosts for rank in host.ranks if rank and rank not in host.absent]
    # First, since a host that does not see the note looks for it before it measures.
    sights = board.gather(SAW, speakers.values(), Sight, NOTE_SECONDS + SLACK_SECONDS if agenda.note else 0.0)
    told = board.gather(MEASURED, others, Measured, SLACK_SECONDS)
    speeds = {0: own, **{rank: measured.speed for rank, measured in told.items()}}
    facts = [_facts(host, clocks, sights, speeds) for host in hosts]
    findings = judge(_expected(preflight), facts)
    if unmeasured:
        findings.append(Finding(None, Check.BANDWIDTH, Severity.UNCHECKED, unmeasured))
    return facts, findings, is_stuck


def _facts(
    host: Host,
    clocks: Mapping[str, Clock],
    sights: Mapping[int, Sight],
    speeds: Mapping[int, Speed | None],
) -> HostFacts:
    sight = sights.get(host.ranks[0])
    return HostFacts(
        host=host.name,
        ranks=tuple(
            RankFacts(
                rank,
                host.absent.get(rank, ""),
                speeds.get(rank),
                silent=rank not in speeds and rank not in host.absent,
            )
            for rank in host.ranks
        ),
        own=host.own,
        clock=clocks.get(host.name),
        sees_main_folder=sight.problem if sight else "",
        shared_after=sight.seconds if sight else None,
    )


def _broken_off(
    preflight: Preflight, board: Board, files: PresenceFiles, why: str
) -> tuple[list[HostFacts], list[Finding]]:
    """Return what is known without waiting any longer."""
    ranks = preflight.place.ranks
    arrivals = board.gather(CAME, range(ranks), Arrival, 0.0)
    hosts = assemble(ranks, arrivals, files.read(), _allocated(preflight.environment))
    facts = [_facts(host, {}, {}, dict.fromkeys(arrivals)) for host in hosts]
    stopped = Finding(None, Check.RANKS, Severity.PROBLEM, f"{why} before the check was done")
    return facts, [stopped, *judge(_expected(preflight), facts)]


def _tell(
    preflight: Preflight, files: PresenceFiles, facts: Sequence[HostFacts], findings: Sequence[Finding]
) -> Record:
    """Write the record and show it; what is not fit goes to stderr, one line for each host."""
    seconds = time.monotonic() - preflight.started
    record = make_record(findings, facts, preflight.place.ranks, seconds)
    try:
        write_record(files.folder / FILE, record)
    except OSError as error:
        preflight.console.print(f"[yellow]warning[/yellow] no record of this check: {error}", highlight=False)
    show(preflight.console, record, facts)
    errors = Console(stderr=True)
    for line in record.lines():
        errors.print(f"error: {line}", highlight=False, soft_wrap=True, markup=False)
    return record


def _left_note(files: PresenceFiles) -> tuple[str, str]:
    """Return the name of a file for the other hosts to see and its text; nothing where it cannot be written."""
    text = secrets.token_hex(16)
    try:
        write_note(files.folder / _NOTE, text)
    except OSError:
        # Told by what this host finds of the run's folder.
        return "", ""
    return _NOTE, text


def _expected(preflight: Preflight) -> Expected:
    cluster = preflight.loaded.recipe.cluster
    return Expected(
        nodes=cluster.nodes,
        gpus_per_node=cluster.gpus_per_node,
        gpu=None if cluster.gpu == "none" else cluster.gpu,
        checkpoint_bytes=_checkpoint_bytes(preflight),
    )


def _checkpoint_bytes(preflight: Preflight) -> int | None:
    """Return the size of the run's largest checkpoint; None before the base is prepared, when it may not be known."""
    if preflight.run_folder.stage("prepare").manifest() is None:
        return None
    from hermes_train.plan.plan import PlanRequest, make_plan

    loaded = preflight.loaded
    try:
        plan = make_plan(PlanRequest(loaded.path, loaded.overrides, preflight.runs))
    except UserError:
        # A plan that cannot be made is told where plans are asked for; here it only sharpens a bound.
        return None
    return max(plan.disk.checkpoint.values(), default=None)


def _allocated(environment: Mapping[str, str]) -> list[str]:
    """Return the hosts of the Slurm job; none without one."""
    nodes = environment.get("SLURM_JOB_NODELIST", "")
    try:
        return host_names(nodes)
    except SlurmError:
        # Only the name of a host that gave no sign is less certain then.
        return []
