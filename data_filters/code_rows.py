"""Published programming problems with their tests, as a question, a reference answer and a task.

One example of each:

    humaneval  {"prompt": "def add(a, b):\\n    \\"\\"\\"Add.\\"\\"\\"\\n", "canonical_solution": "    return a + b\\n",
                "test": "def check(candidate):\\n    assert candidate(1, 2) == 3\\n", "entry_point": "add"}
    mbpp       {"text": "Write a function that adds.", "code": "def add(a, b): return a + b",
                "test_list": ["assert add(1, 2) == 3"], "test_setup_code": ""}
    leetcode   {"problem": "Add two numbers.", "solutions": "class Solution:\\n    def add(self, a, b): return a + b",
                "tests": {"functional": "def check(candidate):\\n    assert candidate(a = 1, b = 2) == 3\\n\\n\\n
                check(Solution().add)"}}

HumanEval+ and MBPP+ have the same fields; MBPP+ says `prompt` for `text` and brings all its tests in `test`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from data_filters.samples import CodeTask

_DEFINED_NAME = re.compile(r"^(?:def|class)\s+(\w+)", re.MULTILINE)
_LEETCODE_SETUP = Path(__file__).with_name("verifiers") / "setups" / "leetcode.py"


class HumanEvalRow(msgspec.Struct):
    """A function's head to be completed, and a `check(candidate)`."""

    prompt: str
    canonical_solution: str
    test: str
    entry_point: str

    def question(self) -> str:
        return f"Complete this Python program:\n\n{_block(self.prompt)}"

    def answer(self) -> str:
        return _block(self.prompt + self.canonical_solution)

    def task(self) -> CodeTask:
        """The prompt is the setup: its imports and helpers are there for answer and tests."""
        return CodeTask(entry_point=self.entry_point, tests=self.test, setup=self.prompt)


class MbppRow(msgspec.Struct):
    """A function to be written from one sentence, and assert lines."""

    code: str
    test_list: list[str]
    text: str = ""
    prompt: str = ""
    test: str = ""
    test_imports: list[str] = []
    test_setup_code: str = ""

    def question(self) -> str:
        """The sentence with its tests: nothing else tells the function's name."""
        examples = _block("\n".join(self.test_list))
        return f"{self.text or self.prompt}\n\nThe program has to pass these tests:\n\n{examples}"

    def answer(self) -> str:
        return _block(self.code)

    def task(self) -> CodeTask:
        setup = "\n".join([*self.test_imports, self.test_setup_code]).strip()
        return CodeTask(self._tested_name(), tests=self.test or self.test_list, setup=setup)

    def _tested_name(self) -> str | None:
        """The function of the reference solution that the tests call; its name may be a builtin's, such as `sum`."""
        tests = "\n".join(self.test_list)
        called = [name for name in _DEFINED_NAME.findall(self.code) if re.search(rf"\b{name}\s*\(", tests)]
        return called[-1] if called else None


class LeetCodeTests(msgspec.Struct):
    """A `check(candidate)` and the line that calls it."""

    functional: str


class LeetCodeRow(msgspec.Struct):
    """A method of a class `Solution` to be written; tests and answers count on what LeetCode imports for them."""

    problem: str
    solutions: str
    tests: LeetCodeTests

    def question(self) -> str:
        return self.problem

    def answer(self) -> str:
        return _block(self.solutions)

    def task(self) -> CodeTask:
        return CodeTask(tests=self.tests.functional, setup=leetcode_setup())


CodeRow = HumanEvalRow | MbppRow | LeetCodeRow
CodeLayout = Literal["humaneval", "mbpp", "leetcode"]
CODE_LAYOUTS: dict[CodeLayout, type[CodeRow]] = {
    "humaneval": HumanEvalRow,
    "mbpp": MbppRow,
    "leetcode": LeetCodeRow,
}


def layout_of(row: dict[str, Any]) -> CodeLayout | None:
    """The form whose fields a row has; None when no form fits."""
    for layout, kind in CODE_LAYOUTS.items():
        if all(field.name in row for field in msgspec.structs.fields(kind) if field.required):
            return layout
    return None


def read_row(row: dict[str, Any], layout: CodeLayout) -> CodeRow:
    """Read a row of a form. Raises ValueError that names the field that does not fit."""
    found: CodeRow = msgspec.convert(row, CODE_LAYOUTS[layout])
    return found


def read_task(row: dict[str, Any], layout: str, tests_field: str | None) -> CodeTask | None:
    """The code task of a row: what its form says, or what stands in fields of the task's own names.

    `tests_field` holds the tests where it is not `tests`. None where a row has no tests. Raises ValueError.
    """
    if layout in CODE_LAYOUTS:
        return read_row(row, layout).task()
    names = {field.name: field.name for field in msgspec.structs.fields(CodeTask)}
    names["tests"] = tests_field or "tests"
    given = {name: row[field] for name, field in names.items() if row.get(field) is not None}
    if not any(given.get(name) for name in ("tests", "cases", "io")):
        return None
    return msgspec.convert({"kind": "code"} | given, CodeTask)


@cache
def leetcode_setup() -> str:
    """The program that LeetCode runs before every answer."""
    return _LEETCODE_SETUP.read_text("utf-8")


def _block(code: str) -> str:
    return f"```python\n{code.strip(chr(10))}\n```"
