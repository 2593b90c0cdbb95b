"""Which program an answer gives."""

import time

import pytest

from data_filters.verifiers.code_blocks import Missing, NoProgram, Program, find_program

ADD = "def add(a, b):\n    return a + b\n"


def block(code: str, label: str = "python") -> str:
    return f"```{label}\n{code}\n```"


def program(answer: str, entry_point: str | None = "add") -> str:
    found = find_program(answer, entry_point)
    assert isinstance(found, Program), found
    return found.text.strip()


def missing(answer: str, entry_point: str | None = "add") -> Missing:
    found = find_program(answer, entry_point)
    assert isinstance(found, NoProgram), found
    return found.missing


@pytest.mark.parametrize("label", ["python", "py", "Python3", "", "python "])
def test_a_python_block_is_taken_from_the_prose_around_it(label: str) -> None:
    assert program(f"Here it is:\n\n{block(ADD, label)}\n\nDone.") == ADD.strip()


@pytest.mark.parametrize("fence", ["```", "````", "~~~"])
def test_a_longer_or_other_fence_holds_what_looks_like_a_fence(fence: str) -> None:
    code = f'def add(a, b):\n    """\n    {"```" if fence != "```" else "~~~"}\n    """\n    return a + b'

    assert program(f"{fence}python\n{code}\n{fence}") == code


def test_a_block_in_a_list_loses_the_indentation_of_its_fence() -> None:
    answer = "1. So:\n   ```python\n   def add(a, b):\n       return a + b\n   ```"

    assert program(answer) == ADD.strip()


def test_the_last_block_that_defines_the_entry_point_is_meant() -> None:
    answer = "\n".join([block("def add(a, b): return 0"), block(ADD), block("print(add(1, 2))")])

    assert program(answer) == ADD.strip()


def test_without_an_entry_point_the_last_block_is_meant() -> None:
    assert program("\n".join([block("first = 1"), block("print(2)")]), None) == "print(2)"


def test_earlier_blocks_come_along_where_the_meant_one_uses_their_names() -> None:
    helper = "import math\ndef double(x): return 2 * x"
    unused = "def triple(x): return 3 * x"
    meant = "def add(a, b): return double(a) + math.floor(b)"

    assert program("\n".join(map(block, [helper, unused, meant]))) == f"{helper}\n\n{meant}"


@pytest.mark.parametrize(
    "code", ["add = lambda a, b: a + b", "from operator import add", "class add: ...", ADD]
)
def test_an_entry_point_may_be_bound_in_any_way(code: str) -> None:
    assert program(block(code)) == code.strip()


def test_a_method_is_looked_for_by_its_class() -> None:
    code = "class Solution:\n    def add(self, a, b): return a + b"

    assert program(block(code), "Solution().add") == code


def test_an_answer_without_a_fence_counts_when_all_of_it_is_a_program() -> None:
    assert program(ADD) == ADD.strip()
    assert program("print(1)", None) == "print(1)"


@pytest.mark.parametrize(
    "answer", ["", "42", "Sorry", "I would add them.", "```json\n{}\n```", "\0", "\ud800"]
)
def test_an_answer_without_code_has_no_program(answer: str) -> None:
    assert missing(answer) == Missing.NO_BLOCK


def test_a_block_that_is_never_closed_is_no_block() -> None:
    assert missing(f"```python\n{ADD}") == Missing.NO_BLOCK


@pytest.mark.parametrize(
    "code", ["def add(a, b:", "x = '\ud800'", "a\0b", "(" * 5000, "-" * 100_000 + "1", "1\n +2"]
)
def test_a_block_that_does_not_parse_is_a_syntax_error(code: str) -> None:
    assert missing(block(code)) == Missing.SYNTAX_ERROR


def test_a_syntax_error_in_another_block_hides_nothing() -> None:
    assert program("\n".join([block("$ pip install x"), block(ADD)])) == ADD.strip()


def test_a_block_without_the_entry_point_is_told_from_no_block() -> None:
    assert missing(block("def sub(a, b): return a - b")) == Missing.NO_ENTRY_POINT


def test_a_huge_block_is_not_parsed() -> None:
    assert missing(block("x = 1\n" * 100_000)) == Missing.TOO_LARGE


def test_the_functions_and_classes_at_the_top_are_named_once() -> None:
    found = find_program(block("def f(): ...\nclass A:\n    def g(self): ...\ndef f(): ..."), None)

    assert isinstance(found, Program)
    assert found.defined == ("f", "A")


@pytest.mark.parametrize(
    "line", ["```" + " " * 10**6 + "`", "~" * 10**6 + "`", "`" * 10**6, " " * 10**6, "\n" * 10**6]
)
def test_a_hostile_fence_costs_no_time(line: str) -> None:
    started = time.perf_counter()

    missing(line)

    assert time.perf_counter() - started < 2
