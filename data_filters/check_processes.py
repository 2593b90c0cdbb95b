"""The processes that checks have started beside this one: math, puzzles and schemas under guard, the sandbox."""

from __future__ import annotations

from data_filters.sandbox import pool as sandbox_pool
from data_filters.verifiers import guarded
from data_filters.verifiers.math import pool as math_pool


def close_check_processes() -> None:
    """End them; the next check that needs one starts it again."""
    math_pool.close()
    guarded.close_all()
    sandbox_pool.close()
