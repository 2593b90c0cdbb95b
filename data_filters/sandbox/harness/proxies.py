"""A test program's side of the candidate: the line to its process, and objects that stand for those in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NoReturn

from data_filters.sandbox.channel import Channel
from data_filters.sandbox.harness import plain_data, plain_reader
from data_filters.sandbox.harness.messages import Question, Reply, Verdict, exception, pack, unpack


class Decided(BaseException):
    """Unwinds the tests once the verdict is known; no Exception, which tests may catch."""


class Candidate:
    """The line to the candidate's process, and what came of it."""

    def __init__(self, peer: Channel, seconds: float, reply_bytes: int) -> None:
        self.classes: dict[str, type] = {}
        """Those of the setup: their instances pass."""
        self.calls = 0
        self.raised: BaseException | None = None
        """The candidate's last exception, as it was raised here."""
        self.decided: tuple[Verdict, str] | None = None
        """The first verdict that was reached before the tests' end."""
        self._root: str | None = None
        self._peer = peer
        self._seconds = seconds
        self._reply_bytes = reply_bytes

    def decide(self, verdict: Verdict, detail: str) -> NoReturn:
        """Settle the verdict, unless it was settled before, and unwind the tests."""
        self.decided = self.decided or (verdict, detail)
        raise Decided

    def look_up(self, name: str) -> str:
        """The reply that tells number and type of an object in the candidate's module.

        All names must begin with one and the same: tests that take a second one from the answer, such as their
        own comparison, would let the answer judge itself.
        """
        root = name.partition(".")[0].removesuffix("()")
        self._root = self._root or root
        if root != self._root:
            self.decide(
                Verdict.NOT_SEPARABLE,
                f"the tests use {self._root!r} and {root!r}, which only the answer defines; "
                "the task has to name its entry_point and define the rest in its setup",
            )
        return self.ask(Question.NAME, name)[1]

    def ask(self, question: Question, text: str) -> tuple[str, str]:
        """Ask, and wait for the reply, which is of the kind VALUE or OBJECT; other kinds raise."""
        if self.decided is not None:
            raise Decided
        started = time.monotonic()
        try:
            kind, reply = self._exchange(pack(question, text))
        except TimeoutError:
            self.decide(Verdict.TIMEOUT, "no result in time")
        except plain_data.MalformedDataError as error:
            self.decide(Verdict.WRONG, f"not a reply: {error}")
        self._seconds -= time.monotonic() - started
        if kind == Reply.RAISED:
            self._raise(reply)
        if kind == Reply.NOT_PLAIN:
            self.decide(Verdict.WRONG, reply)
        if kind not in (Reply.VALUE, Reply.OBJECT):
            self.decide(Verdict.WRONG, f"not a reply: {kind[:40]!r}")
        return kind, reply

    def _exchange(self, message: bytes) -> tuple[str, str]:
        seconds = max(self._seconds, 0.001)
        try:
            self._peer.send(message, seconds)
            found = self._peer.receive(seconds, self._reply_bytes)
        except (BrokenPipeError, ConnectionResetError):
            found = None
        except TimeoutError:
            raise
        except ValueError as error:
            self.decide(Verdict.FLOOD, str(error))
        if found is None:
            self.decide(Verdict.GONE, "")
        return unpack(found)

    def _raise(self, text: str) -> NoReturn:
        """Raise the candidate's exception, so that tests that expect it can catch it."""
        try:
            self.raised = exception(text)
        except plain_data.MalformedDataError as error:
            self.decide(Verdict.WRONG, f"not a reply: {error}")
        if not isinstance(self.raised, Exception):
            self.decide(Verdict.RAISED, text)
        raise self.raised


class Origin(Enum):
    """How the tests came by an object of the candidate's."""

    NAMED = auto()
    """By its name."""
    MADE = auto()
    """They called a class by its name, so that they know of its instances."""
    GIVEN = auto()
    """A call or an attribute gave it where data was due."""


@dataclass
class Place:
    """Where an object is: its number, once that is known, and the name of its type, both as the candidate says."""

    candidate: Candidate
    name: str
    origin: Origin
    number: int | None = None
    type_name: str = ""

    def found(self) -> Place:
        """The same with the number; an object that is known by name alone is looked up first."""
        if self.number is None:
            self.take(self.candidate.look_up(self.name))
        return self

    def take(self, reply: str) -> None:
        """Read `<number> <type name>`."""
        number, _, self.type_name = reply.partition(" ")
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            self.candidate.decide(Verdict.WRONG, "not a reply: an object without its number")
        self.number = int(number)

    def refuse(self, what: str) -> NoReturn:
        """Settle that the tests cannot have `what` of this object.

        An object that is given where data is due is a wrong answer, whatever it would say of itself. Of others,
        the tests may rightly want more than passes between two processes.
        """
        if self.origin == Origin.GIVEN:
            self.candidate.decide(Verdict.WRONG, f"{self.name} gives an object that is no plain data")
        self.candidate.decide(
            Verdict.NOT_SEPARABLE, f"the tests use {what} of {self.name}, which is no plain data"
        )

    def result(self, name: str, origin: Origin, kind: str, reply: str, held: list[object]) -> Any:
        """What a reply brings: data, or an object that stays where it is."""
        if kind == Reply.OBJECT:
            place = Place(self.candidate, name, origin)
            place.take(reply)
            return CandidateObject(place)
        try:
            result, *_ = plain_reader.read(reply, self.candidate.classes, held).value
        except (plain_data.MalformedDataError, TypeError, ValueError) as error:
            self.candidate.decide(Verdict.WRONG, f"the result of {name}: {error}")
        return result


class CandidateObject:
    """Stands for an object in the candidate's process: it can be called, and its attributes read.

    Nothing else is asked of the candidate: an object of its own could say that it equals everything.
    """

    def __init__(self, place: Place) -> None:
        object.__setattr__(self, "_place", place)

    def __getattr__(self, attribute: str) -> Any:
        place = _place(self)
        if attribute.startswith("__"):
            place.refuse(f"the attribute {attribute}")
        number = place.found().number
        kind, reply = place.candidate.ask(Question.ATTRIBUTE, f"{number} {attribute}")
        return place.result(f"{place.name}.{attribute}", place.origin, kind, reply, [])

    def __call__(self, *arguments: object, **named: object) -> Any:
        place = _place(self)
        candidate = place.candidate
        try:
            written = plain_data.write((arguments, named), candidate.classes)
        except plain_data.NotPlainDataError as error:
            candidate.decide(Verdict.NOT_SEPARABLE, f"an argument of {place.name}: {error}")
        number = place.found().number
        candidate.calls += 1
        kind, reply = candidate.ask(Question.CALL, f"{number} {written.text}")
        makes = place.origin == Origin.NAMED and place.type_name == "type"
        origin = Origin.MADE if makes else Origin.GIVEN
        return place.result(f"{place.name}()", origin, kind, reply, written.objects)

    def __setattr__(self, attribute: str, value: object) -> None:
        _place(self).refuse(f"setting {attribute}")

    def __eq__(self, other: object) -> bool:
        _place(self).refuse("a comparison")

    __ne__ = __eq__

    def __hash__(self) -> int:
        _place(self).refuse("the hash")

    def __bool__(self) -> bool:
        _place(self).refuse("the truth")

    def __len__(self) -> int:
        _place(self).refuse("the length")

    def __iter__(self) -> Iterator[object]:
        _place(self).refuse("the items")

    def __getitem__(self, key: object) -> object:
        _place(self).refuse("the items")

    def __contains__(self, item: object) -> bool:
        _place(self).refuse("the items")

    def __str__(self) -> str:
        _place(self).refuse("the text")

    __repr__ = __str__


def named(candidate: Candidate, name: str) -> CandidateObject:
    """What stands for the object of that name, such as `add` or `Solution().twoSum`."""
    return CandidateObject(Place(candidate, name, Origin.NAMED))


def _place(thing: CandidateObject) -> Place:
    found: Place = object.__getattribute__(thing, "_place")
    return found
