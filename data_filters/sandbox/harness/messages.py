"""Messages between a candidate and whoever asks it: a word, a newline, and what belongs to it.

b"call\\n0 [[0],[[\\"tuple\\",[3]]]]"  ->  b"value\\n[9,[]]"
"""

from __future__ import annotations

import builtins
from enum import StrEnum

from data_filters.sandbox.harness.plain_data import MalformedDataError

MAX_TEXT_CHARACTERS = 300
"""Longer texts of errors are cut."""


class Question(StrEnum):
    """What a test program asks of a candidate."""

    NAME = "name"
    """An object by its name in the candidate's module; the reply gives its number."""
    ATTRIBUTE = "attribute"
    """`<number> <name>`: an attribute of a numbered object."""
    CALL = "call"
    """`<number> <plain data>`: call a numbered object with (arguments, keyword arguments)."""


class Reply(StrEnum):
    """What a candidate says."""

    VALUE = "value"
    """A result as plain data."""
    OBJECT = "object"
    """`<number> <type name>`: the result is no plain data; it stays with the candidate under this number."""
    NOT_PLAIN = "not_plain"
    """What stands in the result, or in a changed argument, that is no plain data."""
    RAISED = "raised"
    """`<builtin exception> <text>`."""
    LOADED = "loaded"
    """The program ran to its end, and questions are answered."""
    NO_SETUP = "no_setup"
    """`<builtin exception> <text>`: the task's own setup did not run to its end."""
    NOT_LOADED = "not_loaded"
    """`<builtin exception> <text>`: the program did not run to its end."""


class Verdict(StrEnum):
    """What the tests say of the candidate, or of themselves."""

    PASSED = "passed"
    WRONG = "wrong"
    RAISED = "raised"
    """A call raised what the tests do not expect, or the answer's program itself did."""
    TIMEOUT = "timeout"
    """The candidate took longer than it may, all calls together."""
    MEMORY = "memory"
    FLOOD = "flood"
    """A reply was longer than it may be."""
    GONE = "gone"
    """The candidate's process has ended; its own end says why."""
    NOT_SEPARABLE = "not_separable"
    """The tests need the candidate's code in their own process."""
    BROKEN = "broken"
    """The tests themselves do not run."""


def pack(word: str, text: str) -> bytes:
    """One message. Lone surrogates, which UTF-8 does not have, pass as they are."""
    return f"{word}\n{text}".encode("utf-8", "surrogatepass")


def unpack(message: bytes) -> tuple[str, str]:
    """The word and the text of a message. Raises MalformedDataError."""
    try:
        word, newline, text = message.decode("utf-8", "surrogatepass").partition("\n")
    except UnicodeDecodeError as error:
        raise MalformedDataError("a message is UTF-8") from error
    if not newline:
        raise MalformedDataError("a message is a word, a newline and a text")
    return word, text


def described(error: BaseException) -> str:
    """An exception as `<builtin exception> <text>`: its type, or the nearest builtin one above it."""
    kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    own = "" if kind is type(error) else f"{type(error).__name__}: "
    try:
        text = str(error)
    # An exception's own text may be the candidate's code, and that may do anything.
    except BaseException:
        text = ""
    return f"{kind.__name__} {own}{text}"[:MAX_TEXT_CHARACTERS]


def exception(text: str) -> BaseException:
    """The builtin exception that `described` wrote. Raises MalformedDataError when there is none of that name."""
    name, _, rest = text.partition(" ")
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise MalformedDataError(f"{name[:40]!r} is no builtin exception")
    try:
        return kind(rest)
    except TypeError:
        # UnicodeDecodeError and its like take more than a text.
        return ValueError(rest) if issubclass(kind, ValueError) else RuntimeError(rest)
