"""filter: rows into kept and rejected ones with reasons, away from the held-out problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_filters.files import write_jsonl
from data_filters.pipeline import run_filter
from data_filters.settings import DataSettings, Source
from hermes_train.evaluation.problems import held_out_problems

PROBLEMS_FILE = "problems.jsonl"
"""The held-out problems, beside the rows that were kept away from them."""


def filter_rows(
    data: DataSettings, problems: Sequence[Source], folder: Path, progress: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """Write kept.jsonl, rejected.jsonl, verdicts.jsonl and problems.jsonl. Returns the figures. Raises UserError."""
    held_out = held_out_problems(problems)
    write_jsonl(folder / PROBLEMS_FILE, held_out)
    figures = run_filter(data, held_out, folder, progress)
    return figures.to_dict() | {"held_out_problems": len(held_out)}
