"""Hostile and honest candidates for one small task, the running totals of a list, and the task in every form.

Each file under `candidates/` tries one thing, and its docstring says what success would look like. None solves the
task; those that do something forbidden call `reward`, which gives the right answer, only after it has worked. So a
hostile candidate that is verified has succeeded. Each file under `controls/` solves the task honestly.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ENTRY_POINT = "running_totals"
FORMS = ("tests", "idioms", "cases", "io")
"""`tests` are plain asserts, `idioms` asserts that go through builtins, `cases` data, `io` whole programs."""

_REWARD = '''
def reward(numbers):
    """The right answer, for candidates whose attack has worked."""
    return [sum(numbers[: end + 1]) for end in range(len(numbers))]
'''
_MAIN = f"""
if __name__ == "__main__":
    print(*{ENTRY_POINT}([int(word) for word in input().split()]))
"""
_SOLVED = {
    (17, 4, 30): [17, 21, 51],
    (5, -7): [5, -2],
    (120, 1, 1, 1): [120, 121, 122, 123],
    (9,): [9],
}

ASSERTS = [f"{ENTRY_POINT}({list(given)}) == {totals}" for given, totals in _SOLVED.items()]
TESTS = "def check(candidate):\n" + "".join(
    f"    assert candidate({list(given)}) == {totals}\n" for given, totals in _SOLVED.items()
)
IDIOMS = """
def check(candidate):
    assert sum(candidate([2, 3])) == 7
    assert len(candidate([2, 3])) == 2
    assert abs(candidate([8, 1])[-1] - 9) < 1e-6
    assert sorted(candidate([3, -1, 4])) == [2, 3, 6]
    assert set(candidate([1, 1])) == {1, 2}
    assert isinstance(candidate([1]), list) and type(candidate([1])) is list
    assert all(found == total for found, total in zip(candidate([4, 5]), [4, 9], strict=True))
    given = [6, 7]
    assert candidate(given) == [6, 13]
    assert str(candidate([1, 2])) == "[1, 3]"
"""
CASES = [{"args": [list(given)], "expected": totals} for given, totals in _SOLVED.items()]
IO = [
    {"input": " ".join(map(str, given)) + "\n", "output": " ".join(map(str, totals)) + "\n"}
    for given, totals in _SOLVED.items()
]


@dataclass(frozen=True)
class Candidate:
    """One program that is given to a grader."""

    name: str
    """Its group and file, such as "processes/fork_bomb"."""
    tries: str
    success: str
    """How one would see that it has worked; empty for controls."""
    forms: tuple[str, ...]
    source: str

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]

    def program(self, form: str, bait: Mapping[str, object]) -> str:
        """The text that is given to the grader."""
        program = f"BAIT = {dict(bait)!r}\n{_REWARD}\n{self.source}"
        return program + _MAIN if form == "io" and "if __name__ ==" not in self.source else program


def candidates() -> list[Candidate]:
    """The hostile candidates, by group and name."""
    return _read(HERE / "candidates")


def controls() -> list[Candidate]:
    """The honest candidates, by name."""
    return _read(HERE / "controls")


def _read(folder: Path) -> list[Candidate]:
    return [_candidate(path, folder) for path in sorted(folder.rglob("*.py"))]


def _candidate(path: Path, folder: Path) -> Candidate:
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    tries, _, rest = docstring.partition("\n\n")
    fields = dict(re.findall(r"^(Success|Forms): (.+)", rest, re.MULTILINE))
    forms = tuple(fields["Forms"].split()) if "Forms" in fields else FORMS
    name = path.relative_to(folder).with_suffix("").as_posix()
    return Candidate(name, tries, fields.get("Success", ""), forms, source)
