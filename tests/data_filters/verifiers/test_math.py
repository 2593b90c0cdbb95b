"""Right answers are verified, wrong ones refuted, and what could not be checked is neither."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator

import pytest

from data_filters.samples import MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers import math as math_check
from data_filters.verifiers import math_pool

SETTINGS = VerifySettings()
SLOW = ("(x+y+z+1)^{99}(x+1)", "(x+y+z+1)^{98}(x+1)")


@pytest.fixture(autouse=True, scope="module")
def _end_the_worker() -> Iterator[None]:
    yield
    math_pool.close()


def reason(gold: str, given: str) -> str:
    return math_check.compare(gold, given, SETTINGS).reason


@pytest.mark.parametrize(
    ("gold", "given", "expected"),
    [
        ("72", "72", "math_correct_exact"),
        ("72", "72.", "math_correct_exact"),
        ("x=5", "5", "math_correct_exact"),
        ("Evelyn", "\\text{evelyn}", "math_correct_exact"),
        ("A", "(A)", "math_correct_exact"),
        ("\\frac{3}{4}", "0.75", "math_correct_numeric"),
        ("1000", "1,000", "math_correct_numeric"),
        ("101_2", "5", "math_correct_numeric"),
        ("2\\sqrt{3}", "\\sqrt{12}", "math_correct_symbolic"),
        ("(3,\\infty)", "x>3", "math_correct_symbolic"),
        ("x^2+2x+1", "(x+1)^2", "math_correct_symbolic"),
        ("72", "71", "math_wrong_answer"),
        ("Evelyn", "Anna", "math_wrong_answer"),
    ],
)
def test_the_cheapest_sufficient_comparison_decides(gold: str, given: str, expected: str) -> None:
    assert reason(gold, given) == expected


@pytest.mark.parametrize(
    ("gold", "given"),
    [
        ("1-\\frac{1}{\\mathrm{e}}", "1+\\frac{1}{\\mathrm{e}}"),
        ("1/2^99", "1/2^98"),
        ("204_5", "204_2"),
        ("\\frac \\pi4+2-\\sqrt2", "\\frac \\pi4+2-\\sqrt5"),
        ("3*x-1*y+13=0", "3x + 4y + 14=0"),
        ("4", "4t"),
        ("4", "4\\sqrt(2)"),
        ("5 cm", "5 m"),
        ("5", "1=2=3=4=5"),
    ],
)
def test_answers_that_the_bare_library_takes_for_equal_are_refuted(gold: str, given: str) -> None:
    assert reason(gold, given) == "math_wrong_answer"


@pytest.mark.parametrize(
    "given",
    [
        "9^9^9^9",
        "10^{10^{10}}",
        "10**10000000000",
        "100000000!",
        "\\binom{1000000000}{500000000}",
        "\\frac{1}{" * 300 + "2" + "}" * 300,
        "(" * 500 + "x" + ")" * 500,
        "7" * 1500 + "x",
        "y" * 3000,
    ],
)
def test_an_answer_too_large_to_compare_failed_and_costs_no_time(given: str) -> None:
    started = time.perf_counter()

    found = math_check.compare("x+5", given, SETTINGS)

    assert (found.outcome, found.reason) == (Outcome.FAILED, "math_too_large")
    assert time.perf_counter() - started < 0.5


def test_a_comparison_that_takes_too_long_failed_and_the_next_one_works() -> None:
    started = time.perf_counter()

    found = math_check.compare(*SLOW, VerifySettings(math_timeout_seconds=0.2))

    assert (found.outcome, found.reason) == (Outcome.FAILED, "math_timeout")
    assert time.perf_counter() - started < 30
    assert reason("2\\sqrt{3}", "\\sqrt{12}") == "math_correct_symbolic"


def test_a_killed_worker_failed_and_the_next_comparison_works() -> None:
    worker = math_pool.MathWorker()
    try:
        worker.compare("x", "x", 5)
        assert worker._process is not None
        victim = worker._process
        killer = threading.Timer(0.2, victim.kill)
        killer.start()

        found = worker.compare(*SLOW, 20)

        killer.join()
        assert found.comparison == math_pool.Comparison.CRASHED
        assert worker.compare("2\\sqrt{3}", "\\sqrt{12}", 5).comparison == math_pool.Comparison.EQUAL
    finally:
        worker.close()


def test_a_closed_worker_leaves_no_process() -> None:
    worker = math_pool.MathWorker()
    worker.compare("x", "x", 5)
    assert worker._process is not None
    process = worker._process

    worker.close()

    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_comparisons_work_in_a_thread_beside_the_main_one() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(reason("2\\sqrt{3}", "\\sqrt{12}")))

    thread.start()
    thread.join()

    assert found == ["math_correct_symbolic"]


def _report(queue: "multiprocessing.SimpleQueue[str]") -> None:
    queue.put(reason("2\\sqrt{5}", "\\sqrt{20}"))
    math_pool.close()


def test_a_daemonic_child_forked_while_the_worker_runs_gets_one_of_its_own() -> None:
    assert reason("2\\sqrt{3}", "\\sqrt{12}") == "math_correct_symbolic"
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    child = context.Process(target=_report, args=(queue,), daemon=True)
    child.start()
    child.join(60)

    assert queue.get() == "math_correct_symbolic"
    assert reason("2\\sqrt{3}", "\\sqrt{12}") == "math_correct_symbolic"


def test_an_answer_that_stands_only_in_the_thought_is_named_so() -> None:
    found = math_check.check(MathTask("42"), "I have worked it out.", r"So \boxed{42}.", SETTINGS)

    assert (found.outcome, found.reason) == (Outcome.REFUTED, "math_answer_only_in_thought")


def test_a_number_in_passing_is_no_answer_where_a_form_was_asked_and_the_thought_has_it() -> None:
    found = math_check.check(MathTask("42", format="boxed"), "It took 3 steps.", r"So \boxed{42}.", SETTINGS)

    assert found.reason == "math_answer_only_in_thought"


def test_a_text_without_an_answer_is_named_so() -> None:
    assert math_check.check(MathTask("42"), "I do not know.", None, SETTINGS).reason == "math_no_answer"
