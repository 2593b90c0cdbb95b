"""Held-out problems: read from the recipe's sources, answers taken off, stored once for filter and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from data_filters.errors import UserError
from data_filters.formats import parse_problem
from data_filters.readers import read_rows
from data_filters.row_fields import RowError
from data_filters.samples import Sample
from data_filters.settings import Source


def held_out_problems(sources: Sequence[Source]) -> list[Sample]:
    """Return the problems of all sources: the prompt and the task, no answer. Those without a task are asked to see
    whether they are refused. Raises UserError when none has a task."""
    problems = [problem for source in sources for problem in _problems(source)]
    if not any(problem.task for problem in problems):
        raise UserError("evaluate.problems has no row with a task, so that no answer could be checked")
    return problems


def _problems(source: Source) -> Iterator[Sample]:
    for number, row in read_rows(source):
        try:
            if isinstance(row, RowError):
                raise row
            yield parse_problem(row, source, number)
        except RowError as error:
            raise UserError(
                f"evaluate.problems source {source.name}, row {number}: {error}; a held-out problem that cannot "
                "be read would change the score without a word"
            ) from error
