"""Run a function beside this process, with a time limit that holds whatever the function does.

What works on hostile rows in other people's code (regular expressions, sympy, validators) may loop, eat memory
or crash the interpreter.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from data_filters.verifiers.line_process import LineProcess

_SERVER = "data_filters.verifiers.guarded_server"
_GRACE_SECONDS = 2.0
"""The server ends a slow answer by itself; this much later it is killed as well."""


class Ending(StrEnum):
    """How a question to a guarded function ended."""

    ANSWERED = "answered"
    RAISED = "raised"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Reply:
    """The end of a question: the function's value when it answered, else what went wrong."""

    ending: Ending
    value: Any = None
    detail: str = ""


class GuardedFunction:
    """The function `answer` of a module, run in a process of its own that starts at the first question.

    `module` is a dotted name; its `prepare()` runs once, `answer(question)` at each question, both with
    JSON values. Threads may share an instance: they wait for each other.
    """

    def __init__(self, module: str) -> None:
        self._lock = threading.Lock()
        self._process = LineProcess(_SERVER, module)

    def ask(self, question: object, seconds: float) -> Reply:
        """Ask and wait at most `seconds`. Raises RuntimeError when the process does not start at all."""
        line = json.dumps({"question": question, "seconds": seconds}).encode() + b"\n"
        with self._lock:
            try:
                reply = self._process.exchange(line, seconds + _GRACE_SECONDS)
            except TimeoutError:
                return Reply(Ending.TIMEOUT, detail=f"no result in {seconds:g} s")
        if reply is None:
            return Reply(Ending.CRASHED, detail="the guarded process ended before it answered")
        found = json.loads(reply)
        return Reply(Ending(found["ending"]), found.get("value"), found.get("detail", ""))

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._lock:
            self._process.kill()


def shared(module: str) -> GuardedFunction:
    """This process's guarded function of `module`. A forked child gets one of its own."""
    key = (os.getpid(), module)
    if key not in _functions:
        if not any(owner == key[0] for owner, _ in _functions):
            _functions.clear()
            atexit.register(close_all)
        _functions[key] = GuardedFunction(module)
    return _functions[key]


def close_all() -> None:
    """End this process's guarded processes."""
    for (owner, _), function in _functions.items():
        if owner == os.getpid():
            function.close()


_functions: dict[tuple[int, str], GuardedFunction] = {}
