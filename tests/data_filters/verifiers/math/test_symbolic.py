"""The evaluation at points tells equal from different, and neither where it cannot."""

from collections.abc import Iterator

import pytest

from data_filters.verifiers.math.exact_values import Agreement
from data_filters.verifiers.math.pool import MathWorker


@pytest.fixture(scope="module")
def worker() -> Iterator[MathWorker]:
    worker = MathWorker()
    worker.start()
    yield worker
    worker.close()


@pytest.mark.parametrize(
    ("gold", "given", "agreement"),
    [
        ("\\sin 2x", "2\\sin x\\cos x", Agreement.SAME),
        ("\\log_{2} 8", "3", Agreement.SAME),
        ("\\tan 45\u00b0", "1", Agreement.SAME),
        ("\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}", Agreement.SAME),
        ("\\ln 8", "3\\ln 3", Agreement.DIFFERENT),
        ("1/2004!", "1/4004!", Agreement.DIFFERENT),
        ("\\sqrt{x^2}", "-x", Agreement.DIFFERENT),
        ("(2+\\sqrt{3})^{5000}", "(2+\\sqrt{3})^{5000}+1", Agreement.UNDECIDED),
        ("\\log 100", "2", Agreement.UNDECIDED),
        ("1/(x-x)", "1", Agreement.UNDECIDED),
        ("9^{9^9}", "5", Agreement.UNDECIDED),
        ("1/2x", "x", Agreement.UNDECIDED),
        ("\\infty", "5", Agreement.UNDECIDED),
    ],
)
def test_formulas_are_evaluated_at_points(
    worker: MathWorker, gold: str, given: str, agreement: Agreement
) -> None:
    assert worker.compare(gold, given, seconds=5, with_library=False).numeric == agreement


def test_the_library_is_asked_in_both_orders_where_the_values_cannot_tell(worker: MathWorker) -> None:
    views = worker.compare("\\{1,2\\}", "\\{2,1\\}", seconds=5)

    assert (views.library, views.reversed, views.numeric) == (True, True, Agreement.UNDECIDED)


def test_a_text_that_the_library_cannot_read_is_named(worker: MathWorker) -> None:
    assert worker.compare("5", "\\triangle \\square", seconds=5).unreadable in ("given", "")
    assert worker.compare("", "5", seconds=5).unreadable == "gold"
