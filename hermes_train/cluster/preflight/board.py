"""Where ranks leave notes for each other: torchrun's store, which works before any process group and without it.

Nothing here waits for a rank without end: a note that does not come in time is None.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from torch.distributed import HashStore  # type: ignore[attr-defined]  # documented there, though not in __all__
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from hermes_train.cluster.preflight.facts import Place

_Note = TypeVar("_Note")

LOOK_SECONDS = 0.05
"""How often a rank looks for a note; with hundreds of ranks, one store answers them all."""

_PREFIX = "hermes-train/preflight"


class Board:
    """Notes by name. Raises torch.distributed.DistError where the host that keeps them is gone."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def post(self, name: str, note: Any) -> None:
        """Leave a note that every rank can read."""
        self.store.set(name, msgspec.json.encode(note).decode())

    def read(self, name: str, kind: type[_Note], seconds: float, every: float = LOOK_SECONDS) -> _Note | None:
        """Return a note once it is there; None where it does not come in so many `seconds`, or is of another kind."""
        # Looked for again and again, since a wait inside the store hears no signal.
        deadline = time.monotonic() + seconds
        while not self.store.check([name]):
            if time.monotonic() >= deadline:
                return None
            time.sleep(every)
        try:
            return msgspec.json.decode(self.store.get(name), type=kind)
        except msgspec.DecodeError:
            # Another version of hermes-train is at work there.
            return None

    def gather(self, name: str, ranks: Iterable[int], kind: type[_Note], seconds: float) -> dict[int, _Note]:
        """Return what the ranks that come in time left under `name`."""
        deadline = time.monotonic() + seconds
        found = {}
        for rank in ranks:
            note = self.read(of_rank(name, rank), kind, max(0.0, deadline - time.monotonic()))
            if note is not None:
                found[rank] = note
        return found


def of_rank(name: str, rank: int) -> str:
    """Return the name of one rank's note."""
    return f"{name}/{rank}"


def meet(place: Place, seconds: float) -> Board:
    """Return the board of these ranks. Raises torch.distributed.DistError where its keeper cannot be reached."""
    if place.ranks == 1:
        return Board(HashStore())
    store, *_ = next(rendezvous("env://", timeout=timedelta(seconds=seconds)))
    return Board(PrefixStore(_PREFIX, store))
