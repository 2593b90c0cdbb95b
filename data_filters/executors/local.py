"""datatrove's local executor, silent on the screen, without processes that outlive it, and telling of killed ones."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr
from copy import deepcopy
from multiprocessing.util import Finalize
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.utils.stats import PipelineStats

from data_filters.check_processes import close_check_processes
from data_filters.executors.processes import worker_pool


class QuietLocalExecutor(LocalPipelineExecutor):
    """Run shards in worker processes, or all in this process when there is one worker."""

    pipeline: list[Any]

    def run(self) -> PipelineStats:
        """Run the shards that are not marked as finished. Returns their counts; raises what a block raises.

        Raises RunFailedError when a worker was killed. datatrove's own loop waits forever for a killed worker, and
        starts a manager process to number the workers for their log lines, which outlives a run that is killed.
        """
        self.save_executor_as_json()
        ranks = self.get_incomplete_ranks()
        shards = self._run_here(ranks) if self.workers == 1 else self._run_in_workers(ranks)
        stats = sum(shards, start=PipelineStats())
        with self.logging_dir.open("stats.json", "wt") as file:
            stats.save_to_disk(file)
        return stats

    def _run_here(self, ranks: list[int]) -> Iterable[PipelineStats]:
        blocks = self.pipeline
        for rank in ranks:
            # Each shard counts for itself.
            self.pipeline = deepcopy(blocks)
            yield self._run_for_rank(rank)
        self.pipeline = blocks

    def _run_in_workers(self, ranks: list[int]) -> Iterable[PipelineStats]:
        with worker_pool(self.workers, "the filter", _close_checks_at_end, self.start_method) as pool:
            yield from pool.run(self._run_for_rank, ranks)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        # datatrove adds a handler for standard error to every task's log file; the file is enough.
        with redirect_stderr(io.StringIO()):
            return super()._run_for_rank(rank, local_rank, node_rank)


def _close_checks_at_end() -> None:
    """Let the processes of a worker's checks end with it."""
    # Handlers of atexit do not run in a worker.
    Finalize(None, close_check_processes, exitpriority=1)
