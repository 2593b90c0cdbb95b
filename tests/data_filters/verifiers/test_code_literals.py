"""Tests that only write values out are read as calls; whatever they leave open, a test program decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import CodeTask, Outcome
from data_filters.settings import CodeSettings
from data_filters.verifiers.code import check
from data_filters.verifiers.code_literals import LiteralCall, literal_tests


@pytest.mark.parametrize(
    ("tests", "entry_point", "target"),
    [
        ("assert f(1, [2], key='a') == (3, None)", "f", "f"),
        ("assert f(1, [2], key='a') == (3, None)", None, "f"),
        ("def check(candidate):\n    assert candidate(1, [2], key='a') == (3, None), 'why'", "f", "f"),
        (
            "METADATA = {'author': 'me'}\n\ndef check(g):\n    'Doc.'\n    assert g(1, [2], key='a') == (3, None)"
            "\n    assert True\n\ncheck(f)",
            "f",
            "f",
        ),
        (
            "def check(candidate):\n    assert candidate(1, [2], key='a') == (3, None)\n\ncheck(Solution().add)",
            None,
            "Solution().add",
        ),
    ],
)
def test_written_out_assertions_are_read_as_calls(tests: str, entry_point: str | None, target: str) -> None:
    found = literal_tests(tests, entry_point)

    assert found is not None
    assert found.entry_point == target
    assert found.calls == (LiteralCall([1, [2]], {"key": "a"}, (3, None)),)


@pytest.mark.parametrize(
    ("assertion", "expected"),
    [
        ("assert f(1)", True),
        ("assert not f(1)", False),
        ("assert f(1) is None", None),
        ("assert f(1) == -2.5", -2.5),
    ],
)
def test_truth_and_identity_are_expectations_too(assertion: str, expected: object) -> None:
    found = literal_tests(assertion, "f")

    assert found is not None
    assert found.calls[0].expected == expected


@pytest.mark.parametrize(
    "tests",
    [
        "",
        "assert True",
        "assert f(x) == 1",
        "assert f(1) == g(1)",
        "assert f(1) == 1 == 1",
        "assert f(1) != 2",
        "assert f(*[1]) == 1",
        "assert f(**{}) == 1",
        "assert abs(f(1) - 1) < 1e-6",
        "assert f(1) == 1, f(2)",
        "assert f(1) == 1\nassert g(1) == 1",
        "import math\nassert f(1) == 1",
        "f = print\nassert f(1) == 1",
        "for i in [1]:\n    assert f(1) == 1",
        "def check(candidate):\n    assert candidate(1) == 1\nassert f(1) == 2",
        "def check(candidate, more=1):\n    assert candidate(1) == 1\ncheck(f)",
        "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)\ncheck(g)",
        "def check(candidate):\n    assert f(1) == 1\ncheck(f)",
        "def check(candidate):\n    return\n    assert candidate(1) == 1\ncheck(f)",
        "assert f(1) ==",
        "assert f(" + "(" * 5000 + ")" * 5000 + ") == 1",
        "assert f(1) == '\x00'",
    ],
)
def test_any_other_program_is_left_to_a_process_of_its_own(tests: str) -> None:
    assert literal_tests(tests, "f") is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    literal_tests(text, "f")


def judged(body: str, tests: str) -> tuple[Outcome, str]:
    found = check(CodeTask("f", tests=tests), f"```python\ndef f(x):\n    {body}\n```", CodeSettings())
    return found.outcome, found.reason


@pytest.mark.parametrize(
    ("body", "tests", "outcome"),
    [
        ("return x + 1", "assert f(1) == 2", Outcome.VERIFIED),
        # Equal in Python's sense only, which the test program says.
        ("return x + 1.0", "assert f(1) == 2", Outcome.VERIFIED),
        ("return {'b': 1, 'a': 2}", "assert f(1) == {'a': 2, 'b': 1}", Outcome.VERIFIED),
        ("return [1]", "assert f(1)", Outcome.VERIFIED),
        ("return (1,)", "assert f(1) == [1]", Outcome.REFUTED),
        ("return {1: 0}", "assert f(1) == {'1': 0}", Outcome.REFUTED),
        ("return x", "assert f(1) == 2", Outcome.REFUTED),
        ("return 1", "assert f(1) is True", Outcome.REFUTED),
    ],
)
def test_the_verdict_is_that_of_the_assertions(body: str, tests: str, outcome: Outcome) -> None:
    assert judged(body, tests)[0] == outcome


def test_one_object_answers_all_calls_of_a_check() -> None:
    answer = (
        "```python\nclass Solution:\n    def __init__(self):\n        self.calls = 0\n"
        "    def count(self):\n        self.calls += 1\n        return self.calls\n```"
    )
    tests = "def check(candidate):\n    assert candidate() == 1\n    assert candidate() == {}\ncheck(Solution().count)"

    for second, outcome in (("2", Outcome.VERIFIED), ("1", Outcome.REFUTED)):
        assert check(CodeTask(tests=tests.format(second)), answer, CodeSettings()).outcome == outcome
