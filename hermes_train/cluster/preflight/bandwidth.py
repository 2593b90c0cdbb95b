"""How fast ranks exchange, host against host, so that a slow one stands out.

Hosts play a few rounds of a tournament: in each round every host exchanges with another, all at the same time as in
training, rank k with rank k, so that each network card takes part. A host is as fast as it shows with its best partner.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore, Store

from hermes_train.cluster.preflight.facts import Place, Speed

ROUNDS = 4
"""A host is blamed wrongly only where as many of its partners, drawn from all, are slow themselves."""

REPEATS = 3
"""Of each exchange; the fastest counts, since a moment's other work only slows."""

GPU_BYTES = 256 << 20
CPU_BYTES = 16 << 20
"""What is exchanged: some milliseconds' worth on the networks of such machines."""

_GIGA = 1e9


def tournament(hosts: int, rounds: int = ROUNDS) -> list[list[tuple[int, int]]]:
    """Return at most so many rounds of pairs of hosts: nobody twice in a round, no pair twice at all.

    It is the circle method of tournaments.
    """
    players = hosts + hosts % 2
    circle = players - 1
    made = []
    for turn in range(min(rounds, circle)):
        pairs = [(circle, turn)]
        pairs += [((turn + step) % circle, (turn - step) % circle) for step in range(1, players // 2)]
        # With an odd number of hosts, one of them rests in each round.
        made.append([pair for pair in pairs if max(pair) < hosts])
    return made


def partner(host: int, pairs: Sequence[tuple[int, int]]) -> int | None:
    """Return whom a host exchanges with in a round; None where it rests."""
    for first, second in pairs:
        if host in (first, second):
            return second if host == first else first
    return None


class BandwidthCheck:
    """One rank's part in the measurement. `hosts` are the ranks of each host, as many of each."""

    def __init__(self, place: Place, hosts: Sequence[Sequence[int]], backend: str, store: Store) -> None:
        self._place = place
        self._hosts = hosts
        self._backend = backend
        self._store = PrefixStore("bandwidth", store)
        self._host = next(index for index, ranks in enumerate(hosts) if place.rank in ranks)
        self._size = GPU_BYTES if backend == "nccl" else CPU_BYTES
        self._speed = Speed()
        self._doing = ""
        self._problem = "ended by an error"
        self._is_done = False

    def measure(self, seconds: float) -> Speed:
        """Return what was measured within so many `seconds`, with what it is stuck in where that was not all.

        A collective that hangs hears nothing: it is left behind in a thread.
        """
        self._thread = threading.Thread(target=self._measure, args=(seconds,), daemon=True)
        self._thread.start()
        self._thread.join(seconds)
        if not self.is_stuck:
            return self._speed
        why = f"not done in {seconds:g} s" if self._thread.is_alive() else self._problem
        return replace(self._speed, stuck=f"{self._doing}: {why}")

    @property
    def is_stuck(self) -> bool:
        """Whether it did not come to its end: a collective that hangs or broke lets no process end in order."""
        return not self._is_done

    def _measure(self, seconds: float) -> None:
        try:
            # Beyond our own patience: the process group would end the process, and nobody be told.
            self._join(timedelta(seconds=2 * seconds))
            self._measure_within(timedelta(seconds=2 * seconds))
            for number, pairs in enumerate(tournament(len(self._hosts))):
                self._measure_between(number, pairs)
            self._measure_together()
            torch.distributed.destroy_process_group()
            self._is_done = True
        except RuntimeError as error:  # whatever a backend finds wrong is a RuntimeError
            self._problem = " ".join(str(error).split())[:300]

    def _join(self, limit: timedelta) -> None:
        self._begin(f"joining the ranks over {self._backend}")
        if self._backend == "nccl":
            # Of this thread, as CUDA has it.
            torch.cuda.set_device(self._place.local_rank)
        torch.distributed.init_process_group(
            self._backend,
            store=self._store,
            rank=self._place.rank,
            world_size=self._place.ranks,
            timeout=limit,
        )
        torch.distributed.all_reduce(self._tensor(1))
        self._synchronize()

    def _measure_within(self, limit: timedelta) -> None:
        ranks = list(self._hosts[self._host])
        self._begin("all_reduce among the ranks of the host")
        if len(ranks) > 1:
            group = torch.distributed.new_group(ranks, timeout=limit, use_local_synchronization=True)
            self._speed = replace(self._speed, within=self._all_reduce_speed(len(ranks), group))

    def _measure_between(self, number: int, pairs: Sequence[tuple[int, int]]) -> None:
        other = partner(self._host, pairs)
        if other is None:
            self._begin(f"resting in round {number + 1}")
            return
        peer = self._hosts[other][self._place.local_rank]
        self._begin(f"exchanging with rank {peer}")
        own, theirs = self._tensor(self._size // 4), self._tensor(self._size // 4)
        fastest = self._fastest(lambda: _exchange(own, theirs, peer), lambda: self._greet(peer))
        speed = self._size / fastest / _GIGA
        self._speed = replace(self._speed, between=max(speed, self._speed.between or 0.0))

    def _measure_together(self) -> None:
        self._begin("all_reduce among all ranks")
        if self._place.ranks > 1:
            self._speed = replace(self._speed, together=self._all_reduce_speed(self._place.ranks, None))

    def _all_reduce_speed(self, ranks: int, group: Any) -> float:
        """Return the bytes a second that each rank sends in a ring, as NCCL's own tests count (bus bandwidth)."""
        values = self._tensor(self._size // 4)
        fastest = self._fastest(
            lambda: torch.distributed.all_reduce(values, group=group),
            lambda: torch.distributed.all_reduce(self._tensor(1), group=group),
        )
        return 2 * (ranks - 1) / ranks * self._size / fastest / _GIGA

    def _fastest(self, work: Callable[[], object], agree_to_start: Callable[[], object]) -> float:
        """Return the seconds of the fastest of some repeats, after one that sets up what is used."""
        fastest = math.inf
        for repeat in range(1 + REPEATS):
            agree_to_start()
            self._synchronize()
            started = time.perf_counter()
            work()
            self._synchronize()
            if repeat:
                fastest = min(fastest, time.perf_counter() - started)
        return fastest

    def _greet(self, peer: int) -> None:
        _exchange(self._tensor(1), self._tensor(1), peer)

    def _begin(self, what: str) -> None:
        self._doing = what
        self._speed = replace(self._speed, step=self._speed.step + 1)

    def _tensor(self, numbers: int) -> torch.Tensor:
        device = "cuda" if self._backend == "nccl" else "cpu"
        return torch.zeros(numbers, dtype=torch.float32, device=device)

    def _synchronize(self) -> None:
        if self._backend == "nccl":
            torch.cuda.synchronize()


def _exchange(own: torch.Tensor, theirs: torch.Tensor, peer: int) -> None:
    """Send to a rank and receive from it at the same time."""
    sent = torch.distributed.P2POp(torch.distributed.isend, own, peer)
    received = torch.distributed.P2POp(torch.distributed.irecv, theirs, peer)
    for work in torch.distributed.batch_isend_irecv([sent, received]):
        work.wait()
