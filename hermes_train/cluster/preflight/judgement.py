"""From what is known of the hosts to what is wrong, and with which host. Pure: values in, values out.

Where hosts differ, the most are right; where as many say one thing as another, those of the first host.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hermes_train.cluster.preflight.facts import GIB, Expected, Folder, Gpu, HostFacts, OwnFacts, RankFacts

CLOCK_SECONDS = 1.0
"""How far clocks may be apart: further, and the logs of two hosts no longer tell what came first."""

SLOW_SHARE = 0.5
"""A host is slow that is slower than this share of the hosts' median."""

FEWEST_TO_COMPARE = 3
"""Hosts that it takes to say that one of them is the odd one."""

FREE_GPU_BYTES = 2 * GIB
"""What may be in use on a GPU before training: the driver's own and the context of a process."""

LEAST_FREE_BYTES = GIB
"""Of a local cache, or of the run's folder where the size of a checkpoint is not known."""

LENIENT_VERSIONS = ("CUDA driver",)
"""Versions that may differ, as long as one knows it."""

_SHOWN_DIFFERENCES = 3


class Severity(StrEnum):
    """What a finding means for the training that is to follow."""

    PROBLEM = "problem"
    """It would fail, hang, crawl, or train something else than is asked for."""
    WARNING = "warning"
    """It can start, and somebody should look."""
    UNCHECKED = "unchecked"
    """This could not be looked at."""


class Check(StrEnum):
    """What was looked at."""

    RANKS = "ranks"
    MACHINES = "machines"
    VERSIONS = "versions"
    CODE = "code"
    RECIPE = "recipe"
    ENVIRONMENT = "environment"
    GPUS = "gpus"
    GPU_MEMORY = "gpu_memory"
    GPU_ERRORS = "gpu_errors"
    GPU_CLOCKS = "gpu_clocks"
    FOLDER = "folder"
    ROOM = "room"
    CACHE = "cache"
    CLOCK = "clock"
    BANDWIDTH = "bandwidth"


class Outcome(StrEnum):
    """Whether training may start."""

    FIT = "fit"
    WARNED = "warned"
    UNFIT = "unfit"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong; `host` is None where it is nobody's in particular."""

    host: str | None
    check: Check
    severity: Severity
    text: str


def outcome(findings: Sequence[Finding]) -> Outcome:
    """Return what the findings come to."""
    severities = {finding.severity for finding in findings}
    if Severity.PROBLEM in severities:
        return Outcome.UNFIT
    return Outcome.WARNED if Severity.WARNING in severities else Outcome.FIT


def judge(expected: Expected, hosts: Sequence[HostFacts]) -> list[Finding]:
    """Return what is wrong with the hosts, of which the first is that of rank 0."""
    own = {host.host: host.own for host in hosts if host.own}
    return [
        *_absent_ranks(hosts),
        *_number_of_hosts(expected, hosts),
        *_versions(own),
        *_code(own),
        *_recipes(own),
        *_environments(own),
        *_gpus(expected, own),
        *_run_folders(hosts),
        *_room(expected, own),
        *_caches(own),
        *_clocks(hosts),
        *_stuck(hosts),
        *_slow(hosts, "with other hosts", between_hosts),
        *_slow(hosts, "among its own ranks", within_host),
        *_untold(own),
    ]


def between_hosts(host: HostFacts) -> float | None:
    """Return a host's GB/s with other hosts: those of its slowest rank. None where not all of its ranks have told."""
    return _slowest(host, [rank.speed.between if rank.speed else None for rank in host.ranks])


def within_host(host: HostFacts) -> float | None:
    """Return a host's GB/s among its ranks; None where not all of them have told."""
    return _slowest(host, [rank.speed.within if rank.speed else None for rank in host.ranks])


def _slowest(host: HostFacts, speeds: Sequence[float | None]) -> float | None:
    known = [speed for speed in speeds if speed is not None]
    return min(known) if known and len(known) == len(host.ranks) else None


def _absent_ranks(hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    for host in hosts:
        for how, ranks in _by(host.ranks, lambda rank: rank.absent).items():
            if how:
                yield Finding(host.host, Check.RANKS, Severity.PROBLEM, f"{_numbered(ranks)} {how}")


def _number_of_hosts(expected: Expected, hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    if len(hosts) != expected.nodes:
        text = f"{counted(len(hosts), 'host')} here; the recipe's cluster section says {expected.nodes}"
        yield Finding(None, Check.MACHINES, Severity.WARNING, text)


def _versions(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    for name in sorted({name for facts in own.values() for name in facts.versions}):
        severity = Severity.WARNING if name in LENIENT_VERSIONS else Severity.PROBLEM
        found = {host: facts.versions.get(name, "missing") for host, facts in own.items()}
        for host, value, usual in _odd(found):
            yield Finding(host, Check.VERSIONS, severity, f"{name} {value}; the others have {usual}")


def _code(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    for host, _, usual in _odd({host: facts.code for host, facts in own.items()}):
        right = next(facts.code_folder for facts in own.values() if facts.code == usual)
        text = f"the sources of hermes-train in {own[host].code_folder} differ from those of the others ({right})"
        yield Finding(host, Check.CODE, Severity.PROBLEM, text)


def _recipes(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    found = {host: facts.recipe for host, facts in own.items()}
    for host, differences in _differences(found):
        text = f"another recipe: {differences}; is it an older copy?"
        yield Finding(host, Check.RECIPE, Severity.PROBLEM, text)


def _environments(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    found = {host: facts.environment for host, facts in own.items()}
    for host, differences in _differences(found):
        yield Finding(host, Check.ENVIRONMENT, Severity.WARNING, f"another environment: {differences}")


def _gpus(expected: Expected, own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    if expected.gpu is None:
        return
    models = {host: _models(facts.gpus) for host, facts in own.items()}
    for host, facts in own.items():
        yield from _number_of_gpus(expected, host, facts.gpus)
        for index, gpu in enumerate(facts.gpus):
            yield from _state_of_gpu(host, f"GPU {index}", gpu)
    with_gpus = {host: model for host, model in models.items() if model}
    for host, model, usual in _odd(with_gpus):
        yield Finding(host, Check.GPUS, Severity.PROBLEM, f"{model}; the others have {usual}")
    if with_gpus and not any(expected.gpu.upper() in model.upper() for model in with_gpus.values()):
        text = f"the GPUs are {next(iter(with_gpus.values()))}; the recipe is for {expected.gpu}"
        yield Finding(None, Check.GPUS, Severity.WARNING, text)


def _models(gpus: Sequence[Gpu]) -> str:
    return " and ".join(sorted({gpu.name for gpu in gpus}))


def _number_of_gpus(expected: Expected, host: str, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    found, wanted = len(gpus), expected.gpus_per_node
    if found == wanted:
        return
    text = f"{counted(found, 'GPU')}; the recipe's cluster section says {wanted}"
    severity = Severity.PROBLEM if found < wanted else Severity.WARNING
    yield Finding(host, Check.GPUS, severity, text)


def _state_of_gpu(host: str, name: str, gpu: Gpu) -> Iterator[Finding]:
    if gpu.used is not None and gpu.used > FREE_GPU_BYTES:
        users = f" by {', '.join(gpu.users)}" if gpu.users else " by processes that are not told"
        text = (
            f"{name}: {_gib(gpu.used)} of {_gib(gpu.memory)} in use before training{users}; end what is left"
        )
        yield Finding(host, Check.GPU_MEMORY, Severity.PROBLEM, text)
    if gpu.uncorrected_errors:
        text = f"{name}: {counted(gpu.uncorrected_errors, 'error')} of its memory that ECC could not mend"
        yield Finding(host, Check.GPU_ERRORS, Severity.PROBLEM, text)
    if gpu.slowed_by:
        text = f"{name}: its clocks are held down: {', '.join(gpu.slowed_by)}"
        yield Finding(host, Check.GPU_CLOCKS, Severity.WARNING, text)


def _run_folders(hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    for host in hosts:
        if host.own is None:
            continue
        folder = host.own.run_folder
        if folder.problem:
            text = f"cannot write in {folder.path}: {folder.problem}"
            yield Finding(host.host, Check.FOLDER, Severity.PROBLEM, text)
        elif host.sees_main_folder:
            text = (
                f"does not share the run's folder: in {folder.path}{_on(folder)} it does not see what "
                f"{hosts[0].host} wrote ({host.sees_main_folder})"
            )
            yield Finding(host.host, Check.FOLDER, Severity.PROBLEM, text)


def _room(expected: Expected, own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    """The run's folder is shared: the host that sees the least room speaks for all."""
    folders = [facts.run_folder for facts in own.values() if not facts.run_folder.problem]
    if not folders:
        return
    least = min(folders, key=lambda folder: folder.free)
    needed = expected.checkpoint_bytes
    if needed is not None and least.free < needed:
        text = f"{least.path} has {_gib(least.free)} free, and a checkpoint takes {_gib(needed)}; make room"
        yield Finding(None, Check.ROOM, Severity.PROBLEM, text)
    elif least.free < LEAST_FREE_BYTES:
        text = f"{least.path} has only {_gib(least.free)} free"
        yield Finding(None, Check.ROOM, Severity.WARNING, text)


def _caches(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    for host, facts in own.items():
        if facts.cache is None:
            continue
        if facts.cache.problem:
            text = f"HERMES_LOCAL_CACHE: cannot write in {facts.cache.path}: {facts.cache.problem}"
            yield Finding(host, Check.CACHE, Severity.PROBLEM, text)
        elif facts.cache.free < LEAST_FREE_BYTES:
            text = f"HERMES_LOCAL_CACHE: {facts.cache.path} has only {_gib(facts.cache.free)} free"
            yield Finding(host, Check.CACHE, Severity.WARNING, text)


def _clocks(hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    """Clocks are told against that of the first host. Where there are enough to say that this is the odd one, they are
    judged against the middle one."""
    known = {host.host: host.clock for host in hosts if host.clock}
    offsets = [clock.offset for clock in known.values()]
    middle = statistics.median_low(offsets) if len(offsets) >= FEWEST_TO_COMPARE else 0.0
    for host, clock in known.items():
        offset = clock.offset - middle
        if abs(offset) - clock.uncertainty > CLOCK_SECONDS:
            text = f"its clock is {abs(offset):.1f} s {'ahead' if offset > 0 else 'behind'}; is its time service on?"
            yield Finding(host, Check.CLOCK, Severity.WARNING, text)


def _stuck(hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    """Who gives no sign of life is to blame; or else who came least far, unless nobody came further."""
    if silent := [host for host in hosts if any(rank.silent for rank in host.ranks)]:
        for host in silent:
            ranks = _numbered([rank for rank in host.ranks if rank.silent])
            text = f"{ranks} checked in and gave no more sign of life: stopped, killed, or cut off"
            yield Finding(host.host, Check.RANKS, Severity.PROBLEM, text)
        return
    stuck = [(host, rank) for host in hosts for rank in host.ranks if rank.speed and rank.speed.stuck]
    if not stuck:
        return
    steps = {rank.speed.step for host in hosts for rank in host.ranks if rank.speed}
    least = min(rank.speed.step for _, rank in stuck if rank.speed)
    for host, rank in stuck:
        if rank.speed is None or rank.speed.step > least:
            continue
        text = f"rank {rank.rank} did not finish: {rank.speed.stuck}"
        nobody_further = len(steps) == 1
        yield Finding(None if nobody_further else host.host, Check.BANDWIDTH, Severity.PROBLEM, text)


def _slow(
    hosts: Sequence[HostFacts], what: str, speed: Callable[[HostFacts], float | None]
) -> Iterator[Finding]:
    speeds = {host.host: found for host in hosts if (found := speed(host)) is not None}
    # Two hosts share what they measured together: it does not tell them apart.
    if len(speeds) < FEWEST_TO_COMPARE:
        return
    middle = statistics.median(speeds.values())
    for host, found in speeds.items():
        if found < SLOW_SHARE * middle:
            text = f"{found:.2g} GB/s {what}; the median of the hosts is {middle:.2g} GB/s"
            yield Finding(host, Check.BANDWIDTH, Severity.PROBLEM, text)


def _untold(own: Mapping[str, OwnFacts]) -> Iterator[Finding]:
    reasons = sorted({reason for facts in own.values() for reason in facts.untold})
    for reason in reasons:
        hosts = [host for host, facts in own.items() if reason in facts.untold]
        everywhere = len(hosts) == len(own)
        for host in [None] if everywhere else hosts:
            yield Finding(host, Check.GPUS, Severity.UNCHECKED, reason)


def _odd(values: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the hosts whose value is not the usual one: the host, its value, the usual one."""
    if not values:
        return
    # Of values that are as frequent, Counter gives the one that came first.
    usual = Counter(values.values()).most_common(1)[0][0]
    for host, value in values.items():
        if value != usual:
            yield host, value, usual


def _differences(found: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the hosts with unusual values, and these in words: `sft.steps is 20 (others: 30)`."""
    names = sorted({name for values in found.values() for name in values})
    told: dict[str, list[str]] = {}
    for name in names:
        for host, value, usual in _odd({host: values.get(name, "not set") for host, values in found.items()}):
            told.setdefault(host, []).append(f"{name} is {value} (others: {usual})")
    for host, differences in told.items():
        more = len(differences) - _SHOWN_DIFFERENCES
        shown = ", ".join(differences[:_SHOWN_DIFFERENCES])
        yield host, f"{shown} and {more} more" if more > 0 else shown


def _by(ranks: Sequence[RankFacts], key: Callable[[RankFacts], str]) -> dict[str, list[RankFacts]]:
    groups: dict[str, list[RankFacts]] = {}
    for rank in ranks:
        groups.setdefault(key(rank), []).append(rank)
    return groups


def _numbered(ranks: Sequence[RankFacts]) -> str:
    numbers = ", ".join(str(rank.rank) for rank in ranks)
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {numbers}"


def _on(folder: Folder) -> str:
    return f" ({folder.filesystem})" if folder.filesystem else ""


def counted(number: int, noun: str) -> str:
    """Return `1 host` or `2 hosts`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
