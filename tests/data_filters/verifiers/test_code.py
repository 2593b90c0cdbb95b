"""Programs are run against their tests, apart from them, and every ending has its own reason."""

import time
from collections.abc import Iterator

import pytest

from data_filters.samples import Check, CodeCase, CodeTask, InputOutput, Outcome
from data_filters.sandbox import pool
from data_filters.settings import CodeSettings
from data_filters.verifiers.code import check

SETTINGS = CodeSettings(seconds=0.5, wall_seconds=3, memory_megabytes=256, output_megabytes=1)
ADD = CodeTask(entry_point="add", tests="assert add(1, 2) == 3\nassert add(2, 2) == 4")
ADD_CASES = CodeTask(entry_point="add", cases=[CodeCase(3, [1, 2]), CodeCase(4, [2], {"b": 2})])
ADD_IO = CodeTask(io=[InputOutput("1 2\n", "3\n"), InputOutput("2 2\n", "4\n")])
DATACLASS = """
from dataclasses import dataclass
@dataclass
class Sum:
    value: int
def add(a, b): return Sum(a + b).value
"""
ALWAYS_EQUAL = """
class Equal({}):
    def __eq__(self, other): return True
def add(a, b): return Equal()
"""
MAIN = """
def main(): print(sum(map(int, open(0).read().split())))
if __name__ == "__main__": main()
"""
LIST_NODE = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next
"""


@pytest.fixture(scope="module", autouse=True)
def _sandboxes() -> Iterator[None]:
    yield
    pool.close()


def judged(task: CodeTask, code: str, settings: CodeSettings = SETTINGS) -> Check:
    return check(task, f"Here:\n```python\n{code}\n```", settings)


def reason(task: CodeTask, code: str) -> str:
    return judged(task, code).reason


@pytest.mark.parametrize("task", [ADD, ADD_CASES], ids=["tests", "cases"])
@pytest.mark.parametrize(
    ("code", "outcome", "slug"),
    [
        ("def add(a, b): return a + b", Outcome.VERIFIED, "code_correct"),
        ("def add(a, b):\n    print('x' * 10**7)\n    return a + b", Outcome.VERIFIED, "code_correct"),
        ("def add(a, b): return a + b\nif __name__ == '__main__': 1 / 0", Outcome.VERIFIED, "code_correct"),
        (DATACLASS, Outcome.VERIFIED, "code_correct"),
        ("def add(a, b): return a - b", Outcome.REFUTED, "code_wrong_answer"),
        ("def add(a, b): return None", Outcome.REFUTED, "code_wrong_answer"),
        ("def add(a, b): return str(a + b)", Outcome.REFUTED, "code_wrong_answer"),
        ("def add(a, b): return add", Outcome.REFUTED, "code_wrong_answer"),
        (ALWAYS_EQUAL.format("object"), Outcome.REFUTED, "code_wrong_answer"),
        (ALWAYS_EQUAL.format("int"), Outcome.REFUTED, "code_wrong_answer"),
        ("def add(a): return 3", Outcome.REFUTED, "code_error"),
        ("def add(a, b): 1 / 0", Outcome.REFUTED, "code_error"),
        ("def add(a, b): raise AssertionError", Outcome.REFUTED, "code_error"),
        ("def add(a, b): raise SystemExit", Outcome.REFUTED, "code_error"),
        ("def add(a, b): return add(a, b)", Outcome.REFUTED, "code_error"),
        ("import nothing_like_it\ndef add(a, b): return a + b", Outcome.REFUTED, "code_error"),
        ("def add(a, b): return a + b\nexit()", Outcome.REFUTED, "code_error"),
        ("def add(a, b):\n    while True: pass", Outcome.REFUTED, "code_timeout"),
        ("def add(a, b): return a + b\nwhile True: pass", Outcome.REFUTED, "code_timeout"),
        ("def add(a, b): return len(bytearray(10**9))", Outcome.REFUTED, "code_memory"),
        ("def add(a, b): return 'x' * (2 << 20)", Outcome.REFUTED, "code_output_flood"),
        ("import os\ndef add(a, b): os._exit(0)", Outcome.REFUTED, "code_crash"),
        ("import os\nos._exit(0)\ndef add(a, b): return a + b", Outcome.REFUTED, "code_crash"),
        ("import ctypes\ndef add(a, b): ctypes.string_at(0)", Outcome.REFUTED, "code_crash"),
        ("def sub(a, b): return a - b", Outcome.REFUTED, "code_no_entry_point"),
        ("def add(a, b", Outcome.REFUTED, "code_syntax_error"),
    ],
)  # fmt: skip
def test_every_ending_of_a_function_has_its_reason(
    task: CodeTask, code: str, outcome: Outcome, slug: str
) -> None:
    found = judged(task, code)

    assert (found.outcome, found.reason) == (outcome, slug), found.detail


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", "code_correct"),
        ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))\nsys.exit(0)", "code_correct"),
        ("import os\nprint(sum(map(int, os.read(0, 99).split())), flush=True)\nos._exit(0)", "code_correct"),
        (MAIN, "code_correct"),
        ("print(3)", "code_wrong_answer"),
        ("pass", "code_wrong_answer"),
        ("input()\ninput()", "code_error"),
        ("print(3)\n1 / 0", "code_error"),
        ("import sys\nprint(3)\nsys.exit(1)", "code_crash"),
        ("while True: print('x' * 1000)", "code_output_flood"),
        ("while True: pass", "code_timeout"),
        ("x = bytearray(10**9)", "code_memory"),
    ],
)  # fmt: skip
def test_every_ending_of_a_whole_program_has_its_reason(code: str, slug: str) -> None:
    assert reason(ADD_IO, code) == slug


def test_input_of_any_length_reaches_the_program() -> None:
    numbers = " ".join(["7"] * 200_000)
    task = CodeTask(io=[InputOutput(numbers, "1400000")])

    assert reason(task, "print(sum(map(int, input().split())))") == "code_correct"


def test_a_sleeping_program_is_out_of_time_on_the_clock_on_the_wall() -> None:
    started = time.monotonic()

    found = judged(ADD, "import time\ndef add(a, b): time.sleep(99)")

    assert found.reason == "code_timeout"
    assert time.monotonic() - started < 10


def test_the_detail_says_which_test_or_case_is_wrong() -> None:
    assert judged(ADD, "def add(a, b): return 3").detail == "assert add(2, 2) == 4"
    assert judged(ADD_CASES, "def add(a, b): return 3").detail == "case 2: expected int 4, found int 3"
    assert judged(ADD_IO, "print(3)").detail == "input 2: line 1: expected '4', found '3'"


@pytest.mark.parametrize(
    "tests",
    [
        "def check(candidate):\n    assert candidate(1, 2) == 3",
        "def check(candidate):\n    assert candidate(1, 2) == 3\n\ncheck(add)",
        ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
        "import math\nfor a, b in [(1, 2), (3, 4)]:\n    assert math.isclose(add(a, b), a + b)",
    ],
)
def test_tests_may_be_a_check_or_lines_or_a_program(tests: str | list[str]) -> None:
    for entry_point in ("add", None):
        task = CodeTask(entry_point=entry_point, tests=tests)
        assert reason(task, "def add(a, b): return a + b") == "code_correct"
        assert reason(task, "def add(a, b): return a * b") == "code_wrong_answer"


def test_a_method_of_a_class_is_called_as_the_tests_or_the_entry_point_say() -> None:
    right, wrong = (f"class Solution:\n    def add(self, a, b): return a {sign} b" for sign in "+-")
    check_method = "def check(candidate):\n    assert candidate(a=1, b=2) == 3\n"
    for task in (
        CodeTask(tests=check_method + "check(Solution().add)"),
        CodeTask(entry_point="Solution().add", tests=check_method),
        CodeTask(entry_point="Solution().add", cases=[CodeCase(3, [1, 2])]),
    ):
        assert reason(task, right) == "code_correct"
        assert reason(task, wrong) == "code_wrong_answer"


def test_objects_of_the_candidate_keep_their_state_between_calls() -> None:
    tests = "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.items == [1]"
    code = (
        "class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n"
    )

    assert (
        reason(CodeTask(tests=tests), code + "    def pop(self): return self.items.pop()") == "code_correct"
    )
    assert (
        reason(CodeTask(tests=tests), code + "    def pop(self): return self.items.pop(0)")
        == "code_wrong_answer"
    )


def test_a_function_that_is_returned_can_be_called() -> None:
    task = CodeTask(entry_point="adder", tests="assert adder(2)(3) == 5")

    assert reason(task, "def adder(a): return lambda b: a + b") == "code_correct"
    assert reason(task, "def adder(a): return lambda b: a * b") == "code_wrong_answer"


def test_arguments_that_are_changed_in_place_are_seen_by_the_tests() -> None:
    tests = "x = [3, 1, 2]\nassert order(x) is None\nassert x == [1, 2, 3]"
    task = CodeTask(entry_point="order", tests=tests)

    assert reason(task, "def order(x): x.sort()") == "code_correct"
    assert reason(task, "def order(x): x = sorted(x)") == "code_wrong_answer"


def test_expected_exceptions_of_the_candidate_are_caught_by_their_type() -> None:
    tests = """
try:
    root(-1)
except ValueError as error:
    assert "negative" in str(error)
else:
    assert False
"""
    task = CodeTask(entry_point="root", tests=tests)

    assert reason(task, "def root(x): raise ValueError('negative')") == "code_correct"
    assert reason(task, "class Own(ValueError): ...\ndef root(x): raise Own('negative')") == "code_correct"
    assert reason(task, "def root(x): raise TypeError('negative')") == "code_error"
    assert reason(task, "def root(x): return 0") == "code_wrong_answer"


def test_instances_of_classes_of_the_setup_pass_both_ways() -> None:
    tests = "head = twice(ListNode(1, ListNode(2)))\nassert (head.val, head.next.val, head.next.next) == (2, 4, None)"
    task = CodeTask(entry_point="twice", tests=tests, setup=LIST_NODE)
    code = "def twice(n):\n    return n and ListNode(2 * n.val, twice(n.next))"

    assert reason(task, code) == "code_correct"
    assert reason(task, LIST_NODE + code) == "code_correct"
    assert reason(task, code.replace("2 *", "3 *")) == "code_wrong_answer"


def test_numpy_results_are_compared_as_the_tests_say() -> None:
    tests = "import numpy as np\nassert np.allclose(half([1, 2]), [0.5, 1.0])"
    task = CodeTask(entry_point="half", tests=tests)
    settings = SETTINGS.model_copy(update={"memory_megabytes": 1024, "wall_seconds": 10})

    assert (
        judged(task, "import numpy\ndef half(x): return numpy.array(x) / 2", settings).reason
        == "code_correct"
    )
    assert judged(task, "def half(x): return [v / 2 for v in x]", settings).reason == "code_correct"
    assert judged(task, "def half(x): return x", settings).reason == "code_wrong_answer"


@pytest.mark.parametrize(
    ("entry_point", "tests"),
    [
        ("add", "assert same(add(1, 2), 3)"),
        (None, "assert same(add(1, 2), 3)"),
        ("add", "assert add(lambda: 1, 2) == 3"),
        ("add", "assert add.__name__ == 'add'"),
    ],
)
def test_tests_that_need_the_code_in_their_process_leave_the_row_unverified(
    entry_point: str | None, tests: str
) -> None:
    code = "def same(a, b): return True\ndef add(a, b): return 5"

    found = judged(CodeTask(entry_point=entry_point, tests=tests), code)

    assert (found.outcome, found.reason) == (Outcome.UNVERIFIED, "code_tests_not_separable")


def test_inseparable_tests_run_in_one_process_where_the_settings_allow_it() -> None:
    settings = SETTINGS.model_copy(update={"inseparable_tests": "shared_process"})
    task = CodeTask(entry_point="apply", tests="assert apply(lambda x: x + 1, 2) == 3")

    assert judged(task, "def apply(f, x): return f(x)", settings).reason == "code_correct_shared_process"
    assert judged(task, "def apply(f, x): return x", settings).reason == "code_wrong_answer"
    assert judged(task, "def apply(f, x):\n    while True: pass", settings).reason == "code_timeout"


@pytest.mark.parametrize(
    "tests",
    [
        "assert True",
        "def check(candidate):\n    pass",
        "assert add(1, 2) ==",
        "import nothing_like_it",
        "1 / 0",
    ],
)
def test_tests_that_do_not_work_fail_and_refute_nothing(tests: str) -> None:
    found = judged(CodeTask(entry_point="add", tests=tests), "def add(a, b): return a + b")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "code_tests_broken")


def test_tests_that_swallow_everything_do_not_hide_how_a_call_ended() -> None:
    tests = "try:\n    add(1, 2)\nexcept BaseException:\n    pass\nassert len('a')"

    assert (
        reason(CodeTask(entry_point="add", tests=tests), "import os\ndef add(a, b): os._exit(0)")
        == "code_crash"
    )


def test_a_candidate_cannot_answer_for_the_tests() -> None:
    forged = r"""
import gc, os, socket
for thing in gc.get_objects():
    if isinstance(thing, socket.socket):
        for word in (b"passed\n", b"value\n[[0],[[\"list\",[3]]]]", b"loaded\n"):
            try:
                thing.send(len(word).to_bytes(4, "big") + word)
            except OSError:
                pass
def add(a, b): return 7
"""
    for task in (ADD, ADD_CASES):
        assert judged(task, forged).outcome == Outcome.REFUTED


def test_neither_tests_nor_expected_values_are_in_the_candidate_s_process() -> None:
    code = """
import gc, sys
def seen(frame):
    while frame:
        yield from frame.f_locals.values()
        yield from frame.f_globals.values()
        frame = frame.f_back
def knows(halves, more=None):
    everything = repr([v for v in seen(sys._getframe()) if isinstance(v, (str, bytes, list, dict, int))])
    everything += repr([v for v in gc.get_objects() if isinstance(v, (list, dict)) and len(repr(v)) < 10**5])
    return "".join(halves) in everything
"""
    halves, secret = ["8642", "0975"], "86420975"
    cases = [CodeCase(False, [halves]), CodeCase(secret, [halves]), CodeCase(secret, [["97", "5"]])]
    tests = f"assert knows({halves}) is False, {secret!r}\nassert knows({halves}, {secret!r}) is True"

    assert reason(CodeTask(entry_point="knows", tests=tests), code) == "code_correct"
    detail = judged(CodeTask(entry_point="knows", cases=cases), code).detail
    assert detail == "case 2: expected str 86420975, found bool False"


def test_an_answer_cannot_redefine_what_the_tests_compare_with() -> None:
    code = "def sorted(x): return 5\ndef len(x): return 3\ndef order(x): return x"

    assert reason(CodeTask(tests="assert order([2, 1]) == sorted([1, 2])"), code) == "code_wrong_answer"


def test_a_setup_that_does_not_run_refutes_nobody() -> None:
    for task in (
        CodeTask(entry_point="add", tests="assert add(1, 2) == 3", setup="1 / 0"),
        CodeTask(entry_point="add", cases=[CodeCase(3, [1, 2])], setup="x ="),
        CodeTask(io=[InputOutput("", "")], setup="import nothing_like_it"),
    ):
        found = judged(task, "def add(a, b): return a + b")
        assert (found.outcome, found.reason) == (Outcome.FAILED, "code_tests_broken")


def test_a_result_much_longer_than_expected_is_not_even_read() -> None:
    assert judged(ADD_CASES, "def add(a, b): return [[]] * 30000").detail.endswith("characters")


def test_a_detail_holds_nothing_that_no_file_takes() -> None:
    judged(ADD, "def add(a, b): raise ValueError('\\ud800')").detail.encode()


def test_programs_that_only_look_odd_cost_no_time() -> None:
    started = time.monotonic()

    assert reason(ADD, "def add(a, b): return a + b" + "\n" * 150_000) == "code_correct"
    assert time.monotonic() - started < 5


def test_another_language_is_not_run() -> None:
    found = judged(CodeTask(entry_point="add", tests="x", language="rust"), "fn add() {}")

    assert (found.outcome, found.reason) == (Outcome.UNVERIFIED, "code_language_not_supported")


def test_the_thought_is_no_place_for_code() -> None:
    assert check(ADD, "The answer is above.", SETTINGS).reason == "code_no_block"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tests": ""},
        {"tests": "x", "cases": [CodeCase(1)]},
        {"cases": [CodeCase(1)]},
        {"tests": "x", "entry_point": "os.system('x')"},
        {"tests": "x", "tolerance": -1.0},
        {"tests": "x", "tolerance": float("nan")},
    ],
)
def test_a_task_that_says_too_little_or_too_much_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|entry_point|tolerance"):
        CodeTask(**fields)  # type: ignore[arg-type]  # wrong on purpose
