"""How the hosts of a run without Slurm keep together: through files in `<run>/jobs/hosts/`, the folder they share.

The first host, that of the rendezvous, does the stages of one process and writes `first.json` every few seconds:

    {"beat": 17, "state": "at_work", "text": "sft", "recipe": "9f31c2a80d1e77b4",
     "together": ["preflight", "sft"], "seen": ["node2-4711-5f0c"]}

Each of the others leaves a file with its name, such as `node2-4711-5f0c.host`, and follows once it stands among the
`seen`: then the folder is shared, and the file not one of an earlier run. Clocks are never compared.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from data_filters.errors import RunFailedError, UserError
from hermes_train.runs import JOBS, write_json
from hermes_train.training.watch import signals

HOSTS = Path(JOBS) / "hosts"
FIRST = "first.json"
_SUFFIX = ".host"

BEAT_SECONDS = 2.0
_LOOK_SECONDS = 0.5
_TELL_SECONDS = 30.0
SILENCE_SECONDS = 120.0
"""Longer than a shared folder takes to show a change: NFS keeps what it knows for up to a minute."""
PATIENCE_SECONDS = 600.0
"""How long hosts wait for each other at the beginning: a command is started on many of them by hand."""

Tell = Callable[[str], None]


class State(StrEnum):
    """How it stands with the first host."""

    AT_WORK = "at_work"
    FAILED = "failed"
    DONE = "done"


class Order(msgspec.Struct, frozen=True):
    """What the first host tells the others."""

    beat: int
    state: State
    text: str
    """What it is at, or why it failed."""
    recipe: str
    """A fingerprint of what it makes."""
    together: tuple[str, ...]
    """What was begun on all hosts, in order: the check before training, and stages that train."""
    seen: tuple[str, ...]
    """The hosts that have come."""


class Move(StrEnum):
    """What a host that is not the first does next."""

    WAIT_FOR_FIRST = "wait until the first host has seen this one"
    WAIT = "wait until there is something to take part in"
    TAKE_PART = "take part"
    OTHER_RECIPE = "end: the first host makes something else"
    FAILED = "end: the first host failed"
    LOST = "end: the first host gives no sign of life"
    DONE = "end: all is done"


def next_move(order: Order | None, name: str, recipe: str, parts: int, silent_seconds: float) -> Move:
    """Return what the host `name` does, which has taken so many parts.

    `silent_seconds`: how long the order has been the same.
    """
    if order is None or name not in order.seen:
        return Move.WAIT_FOR_FIRST
    if order.recipe != recipe:
        return Move.OTHER_RECIPE
    if order.state is State.FAILED:
        return Move.FAILED
    if parts < len(order.together):
        return Move.TAKE_PART
    if order.state is State.DONE:
        return Move.DONE
    return Move.LOST if silent_seconds > SILENCE_SECONDS else Move.WAIT


def read_order(folder: Path) -> Order | None:
    """Return the first host's latest word, or None where it has not come yet."""
    try:
        return msgspec.json.decode((folder / FIRST).read_bytes(), type=Order)
    except FileNotFoundError:
        return None


@dataclass
class FirstHost:
    """The host that gives orders. Use `at_work`, which keeps its sign of life going."""

    folder: Path
    recipe: str
    others: int
    tell: Tell
    _order: Order = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _ended: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin with nothing done."""
        self._order = Order(0, State.AT_WORK, "", self.recipe, (), ())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Give signs of life within the block, and say at its end how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f"*{_SUFFIX}"):
            # Of hosts of an earlier run; those of this one leave it again, as long as they are not seen.
            left.unlink(missing_ok=True)
        self._write()
        beating = threading.Thread(target=self._beat, daemon=True)
        beating.start()
        try:
            yield
        except BaseException as error:  # whatever ended this host, the others must know
            self._end(beating, State.FAILED, str(error) or type(error).__name__)
            raise
        self._end(beating, State.DONE, "")

    def turn_to(self, stage: str) -> None:
        """Tell the others what this host does by itself."""
        self._change(text=stage)

    def begin_together(self, part: str) -> None:
        """Have the others take part too, when all of them are there. Raises UserError where one does not come."""
        self._await_others()
        self._change(text=part, together=(*self._order.together, part))

    def _await_others(self) -> None:
        watch = _Watch(self.tell)
        while len(self._order.seen) < self.others:
            here = ", ".join(self._order.seen) or "none"
            told = f"{self.others} other hosts are awaited, {len(self._order.seen)} have come ({here})"
            if watch.seconds() > PATIENCE_SECONDS:
                raise UserError(
                    f"{told}; start the same command on each; if it runs there, {self.folder} is not a shared folder"
                )
            watch.tell(told)
            signals.obey_requested()
            time.sleep(_LOOK_SECONDS)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._write()

    def _change(self, **changes: object) -> None:
        with self._lock:
            self._order = msgspec.structs.replace(self._order, **changes)
        self._write()

    def _write(self) -> None:
        with self._lock:
            here = {path.stem for path in self.folder.glob(f"*{_SUFFIX}")}
            seen = tuple(sorted({*self._order.seen, *here}))
            self._order = msgspec.structs.replace(self._order, beat=self._order.beat + 1, seen=seen)
            write_json(self.folder / FIRST, msgspec.to_builtins(self._order))

    def _end(self, beating: threading.Thread, state: State, text: str) -> None:
        self._ended.set()
        beating.join()
        self._change(state=state, text=text)


@dataclass
class OtherHost:
    """A host that follows. `first` is the name by which the first one is known."""

    folder: Path
    recipe: str
    first: str
    tell: Tell
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}")

    def follow(self, take_part: Callable[[str], None]) -> None:
        """Take part in what the first host orders until all is done.

        Raises RunFailedError where the first host failed or is lost, and UserError where it makes something else or
        does not answer.
        """
        parts = 0
        while (order := self._next_order(parts)).state is not State.DONE or parts < len(order.together):
            self.tell(f"{self.name}: {order.together[parts]}, with the others")
            take_part(order.together[parts])
            parts += 1

    def _next_order(self, parts: int) -> Order:
        """Return the order that there is something to take part in or that all is done."""
        watch, silence, beat = _Watch(self.tell), _Watch(self.tell), -1
        while True:
            order = read_order(self.folder)
            if order is not None and order.beat != beat:
                silence, beat = _Watch(self.tell), order.beat
            match next_move(order, self.name, self.recipe, parts, silence.seconds()):
                case Move.TAKE_PART | Move.DONE if order is not None:
                    return order
                case Move.WAIT if order is not None:
                    watch.tell(f"{self.name} waits: {self.first} is at {order.text}")
                case Move.WAIT_FOR_FIRST:
                    self._call(watch)
                case move:
                    raise self._error(move, order)
            signals.obey_requested()
            time.sleep(_LOOK_SECONDS)

    def _call(self, watch: _Watch) -> None:
        """Leave this host's name for the first one. Raises UserError where that does not answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{self.name}{_SUFFIX}").touch()
        told = f"{self.first} has not answered in {self.folder}"
        if watch.seconds() > PATIENCE_SECONDS:
            raise UserError(
                f"{told} for {PATIENCE_SECONDS / 60:.0f} minutes; start the same command there; if it runs, the folder "
                "is not shared with it: --runs has to name a folder that all hosts share"
            )
        watch.tell(f"{told} yet: does the same command run there, and is the folder shared with it?")

    def _error(self, move: Move, order: Order | None) -> Exception:
        text = order.text if order else ""
        if move is Move.OTHER_RECIPE:
            return UserError(
                f"{self.first} makes something else of {self.folder.parents[1]}: recipe, options or version differ; "
                "start the same command on every host"
            )
        if move is Move.FAILED:
            return RunFailedError(f"ended, since {self.first} failed: {text}")
        return RunFailedError(
            f"ended, since {self.first} has given no sign of life for {SILENCE_SECONDS:.0f} seconds; it was at {text}"
        )


class _Watch:
    """The time since it was made; tells a line every so often."""

    def __init__(self, tell: Tell) -> None:
        self._began = time.monotonic()
        self._told = self._began
        self._tell = tell

    def seconds(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() - self._began

    def tell(self, text: str) -> None:
        """Say what is waited for, not more often than is good to read."""
        if time.monotonic() - self._told > _TELL_SECONDS:
            self._told = time.monotonic()
            self._tell(text)
