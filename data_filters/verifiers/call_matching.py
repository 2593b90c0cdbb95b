"""Whether the calls that were made are the calls that were expected: pure comparison of names and values.

Numbers compare by value (2 and 2.0 are one JSON number), texts to the letter unless loose reading is asked for, and
true is never 1. An expectation gives either exact `arguments` or `accepted` values, as BFCL does:

    {"name": "book", "accepted": {"city": ["NYC", "New York"], "seats": [2, ""], "guest": [{"age": [30, 31]}]}}

where "" says that an argument may be left out, and an object among the values lists accepted values for its own keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LEFT_OUT = ""
_PUNCTUATION = re.compile(r"[ ,./\-_*^]+")


@dataclass(frozen=True)
class Call:
    """One call of a tool: its name and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class ExpectedCall:
    """A call that must be made: with exactly `arguments`, or with one of the `accepted` values of each."""

    name: str
    arguments: dict[str, Any] | None = None
    accepted: dict[str, list[Any]] | None = None


def difference(expected: ExpectedCall, given: Call, loose_text: bool = False) -> str:
    """Say how a call differs from the expected one; "" when it does not."""
    if given.name != expected.name:
        return f"it calls {given.name!r} in place of {expected.name!r}"
    if expected.accepted is not None:
        return _accepted_difference(expected.accepted, given.arguments, loose_text)
    exact = expected.arguments or {}
    for name, value in given.arguments.items():
        if name not in exact:
            return f"argument {name!r} is not expected"
        if not same_value(exact[name], value, loose_text):
            return _other_value(name, exact[name], value)
    missing = next((name for name in exact if name not in given.arguments), None)
    return "" if missing is None else f"argument {missing!r} is missing"


def unmatched(expected: Sequence[ExpectedCall], given: Sequence[Call], loose_text: bool = False) -> list[int]:
    """Positions of expected calls that no given call is left for, with each given call used once.

    A maximum matching: where values overlap, no choice of one call can spoil another.
    """
    fitting = [
        [place for place, call in enumerate(given) if not difference(wanted, call, loose_text)]
        for wanted in expected
    ]
    owner: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for call in fitting[wanted]:
            if call in tried:
                continue
            tried.add(call)
            if call not in owner or place(owner[call], tried):
                owner[call] = wanted
                return True
        return False

    return [wanted for wanted in range(len(expected)) if not place(wanted, set())]


def same_value(expected: Any, given: Any, loose_text: bool = False) -> bool:
    """Whether two JSON values are the same, at every depth."""
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, int | float) and isinstance(given, int | float):
        return expected == given
    if isinstance(expected, str) and isinstance(given, str):
        return expected == given or (loose_text and _plain(expected) == _plain(given))
    if isinstance(expected, list) and isinstance(given, list):
        return len(expected) == len(given) and all(
            same_value(first, second, loose_text) for first, second in zip(expected, given, strict=True)
        )
    if isinstance(expected, dict) and isinstance(given, dict):
        return expected.keys() == given.keys() and all(
            same_value(value, given[name], loose_text) for name, value in expected.items()
        )
    return expected is None and given is None


def _accepted_difference(accepted: dict[str, list[Any]], given: dict[str, Any], loose_text: bool) -> str:
    for name, value in given.items():
        if name not in accepted:
            return f"argument {name!r} is not expected"
        if not any(_fits(option, value, loose_text) for option in accepted[name]):
            return _other_value(name, accepted[name], value)
    missing = (name for name, options in accepted.items() if name not in given and LEFT_OUT not in options)
    first = next(missing, None)
    return "" if first is None else f"argument {first!r} is missing"


def _fits(option: Any, given: Any, loose_text: bool) -> bool:
    """Whether a value is one that an option accepts; an object's keys have options of their own."""
    if isinstance(option, dict) and isinstance(given, dict):
        options = {name: value if isinstance(value, list) else [value] for name, value in option.items()}
        return not _accepted_difference(options, given, loose_text)
    if isinstance(option, list) and isinstance(given, list):
        return len(option) == len(given) and all(
            _fits(first, second, loose_text) for first, second in zip(option, given, strict=True)
        )
    return same_value(option, given, loose_text)


def _plain(text: str) -> str:
    """A text without case, blanks and light punctuation, the way BFCL compares."""
    return _PUNCTUATION.sub("", text).lower().replace("'", '"')


def _other_value(name: str, expected: Any, given: Any) -> str:
    return f"argument {name!r} is {_short(given)}, expected {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
