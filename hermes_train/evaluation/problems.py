"""Held-out problems: read from the recipe's sources, answers taken off, stored once for filter and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from data_filters.errors import UserError
from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.row_fields import RowError
from data_filters.samples import Sample
from data_filters.settings import Source


def held_out_problems(sources: Sequence[Source]) -> list[Sample]:
    """Return the problems of all sources: the prompt and the task, no answer. Raises UserError."""
    problems = [problem for source in sources for problem in _problems(source)]
    if not problems:
        raise UserError("evaluate.problems has no row with a task, so that no answer could be checked")
    return problems


def _problems(source: Source) -> Iterator[Sample]:
    for number, row in read_rows(source):
        try:
            if isinstance(row, RowError):
                raise row
            sample = parse_row(row, source, number)
        except RowError as error:
            raise UserError(
                f"evaluate.problems source {source.name}, row {number}: {error}; a held-out problem that cannot "
                "be read would change the score without a word"
            ) from error
        if sample.task is not None:
            yield msgspec.structs.replace(sample, messages=list(sample.prompt))
