"""Published programming problems become samples with their tests."""

import pytest

from data_filters.formats import parse_row
from data_filters.row_fields import RowError
from data_filters.samples import CodeTask, Outcome
from data_filters.settings import Source, VerifySettings
from data_filters.verify import verify

HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'from typing import List\n\ndef total(xs: List[int]) -> int:\n    """Add all."""\n',
    "canonical_solution": "    return sum(xs)\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
    "entry_point": "total",
}
MBPP = {
    "task_id": 11,
    "text": "Write a function that adds.",
    "code": "def add(a, b):\r\n  return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(n, 0) == n"],
    "test_setup_code": "n = 7",
}
CHECK = "def check(candidate):\n    assert candidate(a = [2], b = [1]) == [1, 2]\n\n\ncheck(Solution().merge)"
LEETCODE = {
    "problem": "Merge two lists.\n```python\nclass Solution:\n    def merge(self, a: List[int], b: List[int]):\n```",
    "solutions": "class Solution:\n    def merge(self, a: List[int], b: List[int]):\n        return sorted(a + b)",
    "tests": {"functional": CHECK},
}
CODE = Source(name="problems", path="problems.jsonl", task="code")


@pytest.mark.parametrize("row", [HUMANEVAL, MBPP, LEETCODE], ids=["humaneval", "mbpp", "leetcode"])
def test_a_published_problem_is_a_sample_whose_reference_answer_verifies(row: dict[str, object]) -> None:
    sample = parse_row(row, Source(name="problems", path="problems.jsonl"), 3)

    assert [message.role for message in sample.messages] == ["user", "assistant"]
    assert sample.answer.content.startswith("```python\n")
    assert verify(sample, VerifySettings()).outcome == Outcome.VERIFIED


def test_mbpp_plus_uses_all_its_tests() -> None:
    row = MBPP | {"prompt": "Add.", "test": "assert add(1, 1) == 2", "test_imports": ["import math"]}
    row.pop("text")

    sample = parse_row(row, CODE, 0)

    assert sample.task == CodeTask("add", tests="assert add(1, 1) == 2", setup="import math\nn = 7")
    assert sample.messages[0].content.startswith("Add.\n")


def test_a_function_of_mbpp_may_have_the_name_of_a_builtin() -> None:
    row = MBPP | {
        "code": "def helper(a): return a\ndef sum(a, b): return a + b",
        "test_list": ["assert sum(1, 2) == 3"],
    }

    sample = parse_row(row, CODE, 0)

    assert sample.task == CodeTask("sum", tests=["assert sum(1, 2) == 3"], setup="n = 7")
    assert verify(sample, VerifySettings()).outcome == Outcome.VERIFIED


def test_other_rows_bring_a_code_task_in_fields_of_its_names() -> None:
    messages = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": "def add(a, b): return a + b"},
    ]
    row = {"messages": messages, "entry_point": "add", "cases": [{"args": [1, 2], "expected": 3}]}

    assert verify(parse_row(row, CODE, 0), VerifySettings()).outcome == Outcome.VERIFIED


def test_the_field_of_the_tests_can_be_named() -> None:
    source = CODE.model_copy(update={"answer_field": "asserts"})
    row = {"problem": "Add.", "solution": "def add(a, b): return 0", "asserts": ["assert add(1, 2) == 3"]}

    sample = parse_row(row, source, 0)

    assert sample.task == CodeTask(tests=["assert add(1, 2) == 3"])
    assert verify(sample, VerifySettings()).reason == "code_wrong_answer"


def test_a_row_without_tests_has_no_task() -> None:
    assert parse_row({"problem": "Add.", "solution": "x", "tests": []}, CODE, 0).task is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (HUMANEVAL | {"test": 5}, "row_not_valid"),
        (HUMANEVAL | {"entry_point": "not a name"}, "task_not_valid"),
        (MBPP | {"test_list": []}, "task_not_valid"),
        (LEETCODE | {"tests": {}}, "row_not_valid"),
        ({"problem": "p", "solution": "s", "tests": 5}, "task_not_valid"),
        ({"problem": "p", "solution": "s", "cases": [{"args": 1}], "entry_point": "f"}, "task_not_valid"),
    ],
)
def test_a_row_that_does_not_fit_is_rejected_with_its_reason(row: dict[str, object], reason: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_row(row, CODE, 0)

    assert caught.value.reason == reason
