"""Whether an answer's program passes its task's tests, in processes that cannot deceive each other.

The answer's program runs in one sandboxed process, the tests in another; between them passes plain data. Expected
results of `cases` and `io` stay here and are compared here, and so are those of tests that only write them out.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from data_filters.samples import TASK, Check, CodeTask, Outcome
from data_filters.sandbox.harness import plain_data
from data_filters.sandbox.harness.messages import Reply, Verdict, unpack
from data_filters.sandbox.pool import HARNESSES, Sandbox, shared_sandbox
from data_filters.sandbox.runs import MEBIBYTE, Ending, Limits, Run
from data_filters.sandbox.server_process import ServerLostError
from data_filters.settings import CodeSettings
from data_filters.verifiers.code_blocks import NoProgram, Program, find_program
from data_filters.verifiers.code_comparison import output_difference, result_difference
from data_filters.verifiers.code_literals import LiteralTests, literal_tests

_HARNESS = "data_filters.sandbox.harness."
_LANGUAGES = frozenset({"python", "python3", "py"})
_TESTS_MORE_SECONDS = 60.0
"""Time of a test program beside that of the candidate it waits for."""
_DETAIL_CHARACTERS = 300
_SHORT_TEXT = 1 << 16
_TIMES_LONGER = 32
"""No right result is so many times longer than the expected one: a float is at most 24 characters, a list 20 more."""
_IMPORTS_NUMPY = re.compile(r"^[ \t]*+(?:import|from)[ \t]+numpy\b", re.MULTILINE)
"""Importing it takes a hundred times as long as starting a program."""


class CodeOutcome(StrEnum):
    """What became of an answer's program."""

    CORRECT = "code_correct"
    CORRECT_SHARED_PROCESS = "code_correct_shared_process"
    WRONG_ANSWER = "code_wrong_answer"
    ERROR = "code_error"
    TIMEOUT = "code_timeout"
    MEMORY = "code_memory"
    OUTPUT_FLOOD = "code_output_flood"
    CRASH = "code_crash"
    TESTS_NOT_SEPARABLE = "code_tests_not_separable"
    TESTS_BROKEN = "code_tests_broken"
    INFRASTRUCTURE = "code_infrastructure"


_OUTCOMES = {
    CodeOutcome.CORRECT: Outcome.VERIFIED,
    CodeOutcome.CORRECT_SHARED_PROCESS: Outcome.VERIFIED,
    CodeOutcome.TESTS_NOT_SEPARABLE: Outcome.UNVERIFIED,
    CodeOutcome.TESTS_BROKEN: Outcome.FAILED,
    CodeOutcome.INFRASTRUCTURE: Outcome.FAILED,
}
"""All others are refuted."""

_BY_ENDING = {
    Ending.TIMEOUT: CodeOutcome.TIMEOUT,
    Ending.MEMORY: CodeOutcome.MEMORY,
    Ending.OUTPUT_FLOOD: CodeOutcome.OUTPUT_FLOOD,
    Ending.INFRASTRUCTURE: CodeOutcome.INFRASTRUCTURE,
}
"""Of a program that ended before its time; all others crashed."""

_BY_VERDICT = {
    Verdict.PASSED: CodeOutcome.CORRECT,
    Verdict.WRONG: CodeOutcome.WRONG_ANSWER,
    Verdict.RAISED: CodeOutcome.ERROR,
    Verdict.TIMEOUT: CodeOutcome.TIMEOUT,
    Verdict.MEMORY: CodeOutcome.MEMORY,
    Verdict.FLOOD: CodeOutcome.OUTPUT_FLOOD,
    Verdict.NOT_SEPARABLE: CodeOutcome.TESTS_NOT_SEPARABLE,
    Verdict.BROKEN: CodeOutcome.TESTS_BROKEN,
}
"""By what the test program says."""


@dataclass(frozen=True)
class Result:
    """What became of a program, and more about it for people."""

    outcome: CodeOutcome
    detail: str = ""


def check(task: CodeTask, content: str, settings: CodeSettings, require: Iterable[str] = ()) -> Check:
    """Judge the program in the text after the thought.

    `require` names the layers that the sandbox must have. Verified with `code_correct` or
    `code_correct_shared_process`; refuted with a reason of `CodeOutcome` or of `code_blocks.Missing`; unverified with
    `code_tests_not_separable` or `code_language_not_supported`; failed with `code_tests_broken` or
    `code_infrastructure`. Raises UserError when the sandbox lacks a required layer.
    """
    if task.language.lower() not in _LANGUAGES:
        detail = f"the task is in {task.language[:40]!r}; only Python is run"
        return Check(TASK, Outcome.UNVERIFIED, "code_language_not_supported", detail)
    program = find_program(content, task.entry_point)
    if isinstance(program, NoProgram):
        return Check(TASK, Outcome.REFUTED, program.missing.value, program.detail)
    result = run_program(task, program, settings, require)
    # Texts of a candidate may hold surrogates, which no file takes.
    detail = result.detail[:_DETAIL_CHARACTERS].encode("utf-8", "replace").decode()
    return Check(TASK, _OUTCOMES.get(result.outcome, Outcome.REFUTED), result.outcome.value, detail)


def run_program(
    task: CodeTask, program: Program, settings: CodeSettings, require: Iterable[str] = ()
) -> Result:
    """Run a program against its task's tests; trouble of the sandbox is met with one more try."""
    runner = _Runner(task, program, settings, tuple(require))
    result = runner.run()
    return runner.run() if result.outcome == CodeOutcome.INFRASTRUCTURE else result


class _Runner:
    """Runs one program against one task."""

    def __init__(
        self, task: CodeTask, program: Program, settings: CodeSettings, require: tuple[str, ...]
    ) -> None:
        self._task = task
        self._program = program
        self._settings = settings
        self._require = require
        bytes_allowed = settings.output_megabytes * MEBIBYTE
        self._limits = Limits(
            seconds=settings.wall_seconds,
            cpu_seconds=settings.seconds,
            memory_bytes=settings.memory_megabytes * MEBIBYTE,
            output_bytes=bytes_allowed,
            reply_bytes=bytes_allowed,
        )
        self._tests_limits = Limits(
            seconds=settings.wall_seconds + _TESTS_MORE_SECONDS,
            memory_bytes=2 * self._limits.memory_bytes,
        )

    def run(self) -> Result:
        try:
            if self._task.cases:
                return self._run_cases()
            if self._task.io:
                return self._run_scripts()
            return self._run_tests()
        except ServerLostError as error:
            return Result(CodeOutcome.INFRASTRUCTURE, str(error))

    def _run_cases(self) -> Result:
        cases = self._task.cases or []
        tolerance = self._task.tolerance

        def problem(number: int, message: bytes) -> Result | None:
            return _case_result(message, cases[number].expected, tolerance)

        return self._run_calls(self._task.entry_point, [(case.args, case.kwargs) for case in cases], problem)

    def _run_calls(
        self,
        entry_point: str | None,
        calls: Sequence[tuple[list[Any], dict[str, Any]]],
        problem: Callable[[int, bytes], Result | None],
        one_object: bool = False,
    ) -> Result:
        """All calls in one process; their replies are judged by `problem`, by number, as they come."""
        job = {
            "setup": self._task.setup,
            "code": self._program.text,
            "entry_point": entry_point,
            "one_object": one_object,
            "cases": [plain_data.write(call).text for call in calls],
        }
        with self._candidates().start(_HARNESS + "candidate", self._limits) as inmate:
            inmate.send(_encoded(job))
            for number in range(len(calls)):
                message = inmate.receive()
                if message is None:
                    return _by_ending(inmate.wait(), f"case {number + 1}")
                result = problem(number, message)
                if result is not None:
                    return Result(result.outcome, f"case {number + 1}: {result.detail}")
        return Result(CodeOutcome.CORRECT)

    def _run_scripts(self) -> Result:
        """One process for each input, up to the first whose output is wrong."""
        for number, test in enumerate(self._task.io or [], start=1):
            job = {"setup": self._task.setup, "code": self._program.text, "input": test.input}
            with self._candidates().start(_HARNESS + "script", self._limits) as inmate:
                inmate.send(_encoded(job))
                raised = inmate.receive()
                run = inmate.wait()
            result = _script_result(run, raised, test.output, self._task.tolerance)
            if result is not None:
                return Result(result.outcome, f"input {number}: {result.detail}")
        return Result(CodeOutcome.CORRECT)

    def _run_tests(self) -> Result:
        """Tests that only compare written-out values as cases; all others, and doubts, in a process of their own."""
        literal = literal_tests(self._tests, self._task.entry_point)
        if literal is not None and re.split(r"\W", literal.entry_point)[0] in self._program.defined:
            result = self._run_literal(literal)
            if result.outcome != CodeOutcome.WRONG_ANSWER:
                return result
        return self._run_apart()

    def _run_literal(self, tests: LiteralTests) -> Result:
        """Correct when each result is, to the letter of its plain data, the expected one."""

        def problem(number: int, message: bytes) -> Result | None:
            trouble = _load_problem(message)
            if trouble is not None:
                return trouble
            kind, text = unpack(message)
            if kind == Reply.VALUE and text == plain_data.write(tests.calls[number].expected).text:
                return None
            return Result(CodeOutcome.WRONG_ANSWER, "another value")

        calls = [(call.args, call.kwargs) for call in tests.calls]
        return self._run_calls(tests.entry_point, calls, problem, one_object=True)

    def _run_apart(self) -> Result:
        """The candidate in one process, the tests in another, a line between them."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # On the wall it lives as long as the tests; what its calls take there, the test program measures.
            limits = msgspec.structs.replace(self._limits, seconds=self._tests_limits.seconds)
            with self._candidates().start(_HARNESS + "candidate", limits, theirs) as candidate:
                theirs.close()
                candidate.send(_encoded({"setup": self._task.setup, "code": self._program.text}))
                loaded = candidate.receive(self._settings.wall_seconds)
                if loaded is None:
                    candidate.kill()
                    return _by_ending(candidate.wait(), "before any call")
                problem = _load_problem(loaded)
                if problem is not None:
                    return problem
                result = self._judge(ours)
                if result is None:
                    return _by_ending(candidate.wait(), "during a call")
        if result.outcome == CodeOutcome.TESTS_NOT_SEPARABLE:
            return self._run_together(result)
        return result

    def _judge(self, peer: socket.socket) -> Result | None:
        """Run the tests against the candidate at the other end of `peer`; None when the candidate is gone."""
        job = {
            "setup": self._task.setup,
            "tests": self._tests,
            "entry_point": self._task.entry_point,
            "names": self._program.defined,
            "seconds": self._settings.wall_seconds,
            "reply_bytes": self._limits.reply_bytes,
        }
        with self._sandbox("tests", self._tests).start(_HARNESS + "tests", self._tests_limits, peer) as judge:
            peer.close()
            judge.send(_encoded(job))
            message = judge.receive()
            run = judge.wait()
        if message is not None:
            return _verdict(message)
        if run.ending == Ending.INFRASTRUCTURE:
            return Result(CodeOutcome.INFRASTRUCTURE, run.detail)
        return Result(CodeOutcome.TESTS_BROKEN, f"the tests end without a verdict: {run.ending} {run.detail}")

    def _run_together(self, apart: Result) -> Result:
        """Run inseparable tests in the candidate's process, if the settings allow it."""
        if self._settings.inseparable_tests == "unverified":
            return apart
        job = {
            "setup": self._task.setup,
            "code": self._program.text,
            "tests": self._tests,
            "entry_point": self._task.entry_point,
        }
        with self._candidates(self._tests).start(_HARNESS + "together", self._limits) as inmate:
            inmate.send(_encoded(job))
            message = inmate.receive()
            run = inmate.wait()
        if message is None:
            return _by_ending(run, "with its tests")
        result = _verdict(message) or Result(CodeOutcome.CRASH, "no verdict")
        if result.outcome == CodeOutcome.CORRECT:
            return Result(CodeOutcome.CORRECT_SHARED_PROCESS, apart.detail)
        return result

    @property
    def _tests(self) -> str:
        tests = self._task.tests
        return tests if isinstance(tests, str) else "\n".join(tests or [])

    def _candidates(self, *more: str) -> Sandbox:
        """The sandbox for the program, run with the texts `more`."""
        return self._sandbox("candidates", self._program.text, *more)

    def _sandbox(self, name: str, *texts: str) -> Sandbox:
        """The sandbox of that name for programs of these texts: with numpy at hand where they import it."""
        if any(_IMPORTS_NUMPY.search(text) for text in (self._task.setup, *texts)):
            return shared_sandbox(name + " with numpy", self._require, (*HARNESSES, "numpy"))
        return shared_sandbox(name, self._require)


def _case_result(message: bytes, expected: object, tolerance: float | None) -> Result | None:
    """What is wrong with one case's reply; None when nothing is."""
    problem = _load_problem(message)
    if problem is not None:
        return problem
    kind, text = unpack(message)
    if kind == Reply.NOT_PLAIN:
        return Result(CodeOutcome.WRONG_ANSWER, text)
    if kind != Reply.VALUE:
        return Result(CodeOutcome.WRONG_ANSWER, f"not a reply: {kind[:40]!r}")
    # What is so much longer cannot be right, and reading it takes memory.
    if len(text) > _SHORT_TEXT and len(text) > _TIMES_LONGER * len(plain_data.write(expected).text):
        return Result(CodeOutcome.WRONG_ANSWER, f"a result of {len(text)} characters")
    difference = result_difference(expected, text, tolerance)
    return None if difference is None else Result(CodeOutcome.WRONG_ANSWER, difference)


def _script_result(run: Run, raised: bytes | None, expected: str, tolerance: float | None) -> Result | None:
    """What is wrong with one run of a whole program; None when nothing is."""
    if raised is not None:
        return _load_problem(raised) or Result(
            CodeOutcome.CRASH, "the program wrote on the line to its judge"
        )
    if run.ending != Ending.FINISHED:
        return _by_ending(run, "")
    difference = output_difference(expected, run.stdout.decode("utf-8", "replace"), tolerance)
    return None if difference is None else Result(CodeOutcome.WRONG_ANSWER, difference)


def _load_problem(message: bytes) -> Result | None:
    """What a message says of a program that did not run to its end; None when it says anything else."""
    try:
        kind, text = unpack(message)
    except plain_data.MalformedDataError as error:
        return Result(CodeOutcome.CRASH, f"not a reply: {error}")
    if kind == Reply.NO_SETUP:
        return Result(CodeOutcome.TESTS_BROKEN, f"the setup ends with {text}")
    return _raised(text) if kind in (Reply.RAISED, Reply.NOT_LOADED) else None


def _raised(text: str) -> Result:
    if text.startswith("MemoryError"):
        return Result(CodeOutcome.MEMORY, text)
    return Result(CodeOutcome.ERROR, text)


def _verdict(message: bytes) -> Result | None:
    """What a test program says; None when it says that the candidate is gone."""
    try:
        word, detail = unpack(message)
        verdict = Verdict(word)
    except ValueError:
        # Only a candidate that shares the process of its tests can do that.
        return Result(CodeOutcome.CRASH, "not a verdict")
    return None if verdict == Verdict.GONE else Result(_BY_VERDICT[verdict], detail)


def _by_ending(run: Run, when: str) -> Result:
    """What became of a program that ended, or was ended, before its work was done."""
    if run.ending == Ending.KILLED:
        return Result(CodeOutcome.TIMEOUT, f"no answer in time {when}".strip())
    outcome = _BY_ENDING.get(run.ending, CodeOutcome.CRASH)
    code = f"exit code {run.exit_code}" if run.exit_code is not None else f"signal {run.signal}"
    detail = run.detail if outcome != CodeOutcome.CRASH else f"ended with {code}"
    return Result(outcome, f"{detail} {when}".strip())


def _encoded(job: Mapping[str, object]) -> bytes:
    return json.dumps(job).encode()
