"""The process that compares formulas with math-verify: one JSON line in, one JSON line out, until its input ends.

It never compares anything itself: it holds math-verify imported and warm, and forks children that compare. A child that
takes too long or too much memory is killed, and the one that was forked before it was needed takes its place, so that a
hostile formula costs its time limit and no fresh start of an interpreter.

A question:  {"gold": "\\\\ln 8", "given": "3\\\\ln 2", "with_library": true, "seconds": 0.75}
Its reply:   {"result": "compared", "numeric": "same", "library": true}, with the fields of `pool.Views`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MEMORY_BYTES = 1024**3
_NEARLY_ALL_MEMORY = MEMORY_BYTES * 3 // 4
_IDLE_SECONDS = 2.0
_SET_PARENT_DEATH_SIGNAL = 1

Compare = Callable[[str, str, bool], dict[str, Any]]


@dataclass
class _Child:
    """A forked process that compares, and the two ends of its pipes that stay here."""

    process: int
    questions: int
    replies: int


def main() -> None:
    """Answer the questions on standard input until it ends or nobody is left to ask them."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from data_filters.verifiers.math.symbolic import compare, warm_up

    warm_up()
    # Children share the memory of this process only while nobody writes to it.
    gc.collect()
    gc.freeze()
    _Supervisor(compare).serve(sys.stdin.fileno(), sys.stdout.fileno())


class _Supervisor:
    """Passes questions on to a child; a spare child waits for the day the first one is killed."""

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._parent = os.getppid()
        self._child = _forked(compare)
        self._spare: _Child | None = _forked(compare)

    def serve(self, questions: int, replies: int) -> None:
        os.write(replies, b'{"ready": true}\n')
        waiting = b""
        while True:
            readable, _, _ = select.select([questions], [], [], _IDLE_SECONDS)
            if not readable:
                if os.getppid() != self._parent:
                    break
                continue
            part = os.read(questions, 65536)
            if not part:
                break
            waiting += part
            while b"\n" in waiting:
                question, _, waiting = waiting.partition(b"\n")
                _write_all(replies, self._answer(question) + b"\n")
                self._refill()
        for child in filter(None, (self._child, self._spare)):
            _end(child)

    def _answer(self, question: bytes) -> bytes:
        """The child's reply, or what became of the child."""
        seconds = float(json.loads(question)["seconds"])
        try:
            _write_all(self._child.questions, question + b"\n")
            reply = _read_line(self._child.replies, time.monotonic() + seconds)
        except TimeoutError:
            self._replace()
            return b'{"result": "timeout"}'
        except BrokenPipeError:
            reply = None
        if reply is None:
            self._replace()
            return b'{"result": "crashed", "problem": "the process ended in the middle of a comparison"}'
        if b'"result": "memory"' in reply:
            self._replace()
        return reply

    def _replace(self) -> None:
        _end(self._child)
        self._child, self._spare = self._spare or _forked(self._compare), None

    def _refill(self) -> None:
        """Fork the next spare, after the reply: the question that used the last one does not wait for it."""
        if self._spare is None:
            self._spare = _forked(self._compare)


def _forked(compare: Compare) -> _Child:
    """Fork a child that compares. Its ends of the pipes are its standard input and output."""
    question_reader, question_writer = os.pipe()
    reply_reader, reply_writer = os.pipe()
    process = os.fork()
    if process == 0:
        _die_with_parent()
        os.dup2(question_reader, 0)
        os.dup2(reply_writer, 1)
        os.closerange(3, 256)
        _compare_until_the_end(compare)
        os._exit(0)
    os.close(question_reader)
    os.close(reply_writer)
    return _Child(process, question_writer, reply_reader)


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, where there is such a kernel."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _compare_until_the_end(compare: Compare) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    waiting = b""
    while part := os.read(0, 65536):
        waiting += part
        while b"\n" in waiting:
            line, _, waiting = waiting.partition(b"\n")
            question = json.loads(line)
            try:
                reply = {
                    "result": "compared",
                    **compare(question["gold"], question["given"], question["with_library"]),
                }
                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _NEARLY_ALL_MEMORY:
                    # The library takes an allocation that failed inside it for a difference.
                    reply = {"result": "memory"}
            except MemoryError:
                reply = {"result": "memory"}
            # The parser and sympy raise nearly anything on odd input; the parent counts it as a crash of the check.
            except Exception as error:
                reply = {"result": "crashed", "problem": f"{type(error).__name__}: {error}"[:300]}
            _write_all(1, json.dumps(reply).encode() + b"\n")


def _read_line(source: int, deadline: float) -> bytes | None:
    """One line without its end; None when the other side is gone. Raises TimeoutError at the deadline."""
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            raise TimeoutError
        part = os.read(source, 65536)
        if not part:
            return None
        line += part
    return line[:-1]


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


def _end(child: _Child) -> None:
    os.kill(child.process, signal.SIGKILL)
    os.waitpid(child.process, 0)
    os.close(child.questions)
    os.close(child.replies)


if __name__ == "__main__":
    main()
