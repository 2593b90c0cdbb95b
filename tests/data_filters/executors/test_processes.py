"""Worker processes give back what is asked of them, and say so when one is killed."""

import math
import os

import pytest

from data_filters.errors import RunFailedError
from data_filters.executors.processes import worker_pool


def test_every_item_is_worked_on_in_one_job_after_the_other() -> None:
    with worker_pool(2, "the test") as pool:
        assert sorted(pool.run(math.sqrt, [4, 9, 16])) == [2, 3, 4]
        assert sorted(pool.run(abs, [-1, -2])) == [1, 2]


def test_what_a_job_raises_is_raised_here() -> None:
    with worker_pool(2, "the test") as pool, pytest.raises(ValueError, match=r"math|nonnegative"):
        list(pool.run(math.sqrt, [4, -1]))


def test_a_killed_worker_is_told_with_its_job_and_what_to_do() -> None:
    with (
        worker_pool(1, "the test") as pool,
        pytest.raises(RunFailedError, match="a worker of the test was killed"),
    ):
        list(pool.run(os._exit, [1]))
