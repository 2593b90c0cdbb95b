"""The test program's process: it runs the tests of a task and asks the candidate, in its own process, for results.

The job, on the channel: {"setup", "tests", "entry_point", "names", "seconds", "reply_bytes"}; the verdict goes back
on it as `<Verdict>\\n<detail>`. The candidate, on the peer, gets calls and gives plain data: it never holds the tests,
the expected values or the verdict, and what it sends cannot become code here.

Without an `entry_point` the tests may use one of the `names` that the answer defines.
"""

from __future__ import annotations

import builtins
import json
import opcode
import re
import traceback
import types
from typing import Any

from data_filters.sandbox.channel import Channel
from data_filters.sandbox.harness.candidate import MODULE, own_classes
from data_filters.sandbox.harness.messages import MAX_TEXT_CHARACTERS, Verdict, described, pack
from data_filters.sandbox.harness.program import compiled, discard_output, new_module, run_compiled, run_in
from data_filters.sandbox.harness.proxies import Candidate, CandidateObject, named

_TESTS_FILE = "<tests>"
_RAISE = opcode.opmap["RAISE_VARARGS"]
"""What `assert` and `raise` are compiled to."""
_ASSERTING_METHOD = re.compile(r"assert(_|[A-Z])|fail$")
"""Such as `numpy.testing.assert_allclose` and `unittest`'s `assertEqual`."""


def main(channel: Channel, peer: Channel | None) -> None:
    """Run the job that comes over `channel` against the candidate on `peer`."""
    assert peer is not None, "a test program needs a candidate"
    job = json.loads(channel.receive() or b"")
    discard_output()
    candidate = Candidate(peer, job["seconds"], job["reply_bytes"])
    verdict, detail = _judge(job, candidate)
    channel.send(pack(verdict, detail[:MAX_TEXT_CHARACTERS]))


def _judge(job: dict[str, Any], candidate: Candidate) -> tuple[Verdict, str]:
    try:
        _run(job, candidate)
    # Tests are data: they may raise anything.
    except BaseException as error:
        return candidate.decided or _verdict_of(error, candidate, job["tests"])
    if candidate.decided is not None:
        # The tests caught what should have ended them.
        return candidate.decided
    if not candidate.calls:
        return Verdict.BROKEN, "the tests never call the candidate"
    return Verdict.PASSED, ""


def _run(job: dict[str, Any], candidate: Candidate) -> None:
    """Run the tests' text; where it calls nothing by itself, also its `check(candidate)`."""
    module = new_module(MODULE)
    run_in(module, job["setup"], "<setup>")
    candidate.classes = own_classes(module)
    names = _candidate_names(job, module)
    proxies = {name: named(candidate, name) for name in names}
    vars(module).update(proxies)
    tests = compiled(job["tests"], _TESTS_FILE)
    if not _can_fail(tests):
        candidate.decide(Verdict.BROKEN, "the tests assert nothing")
    run_compiled(module, tests)
    check = vars(module).get("check")
    if not candidate.calls and isinstance(check, types.FunctionType):
        check(_entry(job["entry_point"], names, candidate))


def _can_fail(code: types.CodeType) -> bool:
    """Whether a program, or a function in it, asserts or raises anything, itself or by a library's method."""
    if _RAISE in code.co_code[::2] or any(map(_ASSERTING_METHOD.match, code.co_names)):
        return True
    return any(_can_fail(part) for part in code.co_consts if isinstance(part, types.CodeType))


def _candidate_names(job: dict[str, Any], module: types.ModuleType) -> list[str]:
    """The names that stand for the candidate: the entry point's first, or those that only the answer defines."""
    if job["entry_point"]:
        return [job["entry_point"].partition(".")[0].removesuffix("()")]
    # An answer that defines `sorted` does not change what the tests sort with.
    return [name for name in job["names"] if name not in vars(module) and not hasattr(builtins, name)]


def _entry(entry_point: str | None, names: list[str], candidate: Candidate) -> CandidateObject:
    """What `check` is called with."""
    if entry_point is None and len(names) != 1:
        defined = ", ".join(names) or "nothing"
        candidate.decide(
            Verdict.BROKEN, f"the answer defines {defined}; the task has to name its entry_point"
        )
    return named(candidate, entry_point or names[0])


def _verdict_of(error: BaseException, candidate: Candidate, tests: str) -> tuple[Verdict, str]:
    """What an exception that ended the tests says."""
    place = _failing_line(error, tests)
    if error is candidate.raised:
        if isinstance(error, MemoryError):
            return Verdict.MEMORY, "a call ran out of memory"
        return Verdict.RAISED, described(error)
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
        return Verdict.NOT_SEPARABLE, f"the tests use {error.name!r}, which neither they nor the setup define"
    ours = isinstance(
        error, ImportError | SyntaxError | MemoryError | RecursionError | SystemExit | KeyboardInterrupt
    )
    if ours or not candidate.calls:
        return Verdict.BROKEN, f"{described(error)} {place}"
    if isinstance(error, AssertionError):
        return Verdict.WRONG, f"{place} {error}".strip()
    # A result of another kind than the tests expect, such as None where they index a list.
    return Verdict.WRONG, f"{described(error)} {place}"


def _failing_line(error: BaseException, tests: str) -> str:
    """The line of the tests where an exception came up, such as `assert f(2) == 4`."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _TESTS_FILE
    ]
    if not lines or lines[-1] is None:
        return ""
    return tests.splitlines()[lines[-1] - 1].strip()[:MAX_TEXT_CHARACTERS]
