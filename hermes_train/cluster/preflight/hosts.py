"""Which rank belongs to which host, those included that never checked in. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hermes_train.cluster.preflight.facts import Arrival, OwnFacts
from hermes_train.cluster.preflight.presence import Presence


@dataclass(frozen=True)
class Host:
    """A host by its ranks, before anything was measured."""

    name: str
    ranks: tuple[int, ...]
    own: OwnFacts | None
    absent: Mapping[int, str]
    """The ranks that did not check in, with how far they came."""


def assemble(
    ranks: int, arrivals: Mapping[int, Arrival], presences: Mapping[int, Presence], allocated: Iterable[str]
) -> list[Host]:
    """Return the hosts in the order of their ranks.

    A rank that did not check in is on the host that its file names. Without a file it never started: then it is on one
    of the `allocated` hosts, of a Slurm job, that nobody else is on.
    """
    names = _distinct_names(arrivals)
    of_rank = {rank: names[arrival.place.agent] for rank, arrival in arrivals.items()}
    for rank, presence in presences.items():
        if rank < ranks:
            of_rank.setdefault(rank, presence.host)
    unheard = (
        " or ".join(name for name in allocated if name not in of_rank.values()) or "a host without a sign"
    )
    grouped: dict[str, list[int]] = {}
    for rank in range(ranks):
        grouped.setdefault(of_rank.get(rank, unheard), []).append(rank)
    return [_host(name, members, arrivals, presences) for name, members in grouped.items()]


def _host(
    name: str, ranks: Sequence[int], arrivals: Mapping[int, Arrival], presences: Mapping[int, Presence]
) -> Host:
    own = next((arrivals[rank].own for rank in ranks if rank in arrivals and arrivals[rank].own), None)
    absent = {rank: _how_far(presences.get(rank)) for rank in ranks if rank not in arrivals}
    return Host(name, tuple(ranks), own, absent)


def _how_far(presence: Presence | None) -> str:
    if presence is None:
        return "never started: no sign in the run's folder, and none to rank 0"
    return f"did not check in (process {presence.process}); the last it told: {presence.phase}"


def _distinct_names(arrivals: Mapping[int, Arrival]) -> dict[int, str]:
    """Return the names of hosts by the numbers of their torchruns; those of one name get the number too."""
    by_agent = {arrival.place.agent: arrival.place.host for arrival in arrivals.values()}
    frequent = Counter(by_agent.values())
    return {agent: name if frequent[name] == 1 else f"{name}#{agent}" for agent, name in by_agent.items()}


def choose_backend(hosts: Sequence[Host]) -> tuple[str, str]:
    """Return what bandwidth is measured over, and why it is not measured, of which one is empty; both for one rank."""
    if any(host.absent for host in hosts):
        return "", "bandwidth: not every rank came"
    if sum(len(host.ranks) for host in hosts) == 1:
        return "", ""
    if len({len(host.ranks) for host in hosts}) > 1:
        return "", "bandwidth: the hosts have different numbers of ranks"
    gpus = [len(host.own.gpus) if host.own else 0 for host in hosts]
    if not any(gpus):
        return "gloo", ""
    if all(count >= len(host.ranks) for count, host in zip(gpus, hosts, strict=True)):
        return "nccl", ""
    return "", "bandwidth: a host has fewer GPUs than ranks"
