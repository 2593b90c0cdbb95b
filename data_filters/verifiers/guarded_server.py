"""The process behind a guarded function: one JSON line in, one JSON line out, until its input ends.

Started by `guarded` as `python -m data_filters.verifiers.guarded_server MODULE`. It prepares the module once and
forks; the child answers until a question kills it, and the next child starts with everything already imported.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from typing import Any, Protocol

_MEMORY_BYTES = 1024**3
_DETAIL_CHARACTERS = 300


class GuardedModule(Protocol):
    """What a module must offer to be guarded."""

    def prepare(self) -> None:
        """Import and build whatever is needed, once."""

    def answer(self, question: Any) -> Any:
        """The answer to one question; JSON values in and out, and a short one out."""


def main(name: str) -> None:
    """Serve the module called `name` on standard input and output."""
    replies = os.dup(1)
    # What the module prints must not be taken for a reply.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    module: GuardedModule = importlib.import_module(name)
    module.prepare()
    _send(replies, {"ending": "ready"})
    while (ending := _run_child(module, replies)) is not None:
        _send(replies, ending)


def _run_child(module: GuardedModule, replies: int) -> dict[str, str] | None:
    """Let a child serve until it ends; what killed it, or None when the input ended."""
    child = os.fork()
    if child == 0:
        _limit_resources()
        _serve(module, replies)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    if code == -signal.SIGALRM:
        return {"ending": "timeout", "detail": "it took longer than allowed"}
    return {"ending": "crashed", "detail": f"it ended the process with status {code}"}


def _limit_resources() -> None:
    """Hold what a child can take. The time limit is the alarm, whose default action kills."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, _address_space() + _MEMORY_BYTES),
    ):
        resource.setrlimit(kind, (limit, limit))


def _address_space() -> int:
    """Bytes of address space that this process has mapped already."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  (a Path costs a child 1 ms)
        return int(file.read().split()[0]) * resource.getpagesize()


def _serve(module: GuardedModule, replies: int) -> None:
    with os.fdopen(os.dup(0), "rb", buffering=0) as questions:
        while line := _read_line(questions.fileno()):
            asked = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
            reply = _reply(module, asked["question"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(replies, reply)


def _reply(module: GuardedModule, question: Any) -> dict[str, Any]:
    try:
        return {"ending": "answered", "value": module.answer(question)}
    except MemoryError:
        return {"ending": "memory", "detail": f"it needs more than {_MEMORY_BYTES // 1024**2} MB"}
    # The module runs other people's code on hostile rows, which raises nearly anything; the caller learns of it.
    except Exception as error:
        return {"ending": "raised", "detail": f"{type(error).__name__}: {error}"[:_DETAIL_CHARACTERS]}


def _read_line(source: int) -> bytes:
    """The next line, read without a buffer: what a killed child had buffered would be lost to the next."""
    parts: list[bytes] = []
    while part := os.read(source, 1 << 20):
        parts.append(part)
        if part.endswith(b"\n"):
            break
    return b"".join(parts)


def _send(replies: int, reply: dict[str, Any]) -> None:
    line = json.dumps(reply).encode() + b"\n"
    while line:
        line = line[os.write(replies, line) :]


if __name__ == "__main__":
    main(sys.argv[1])
