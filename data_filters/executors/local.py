"""datatrove's local executor, silent on the screen, without processes that outlive it, and telling of killed ones."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr
from copy import deepcopy
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.utils.stats import PipelineStats

from data_filters.check_processes import close_check_processes
from data_filters.errors import RunFailedError


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
        # Not daemons, as a multiprocessing pool's workers are: checks start processes of their own.
        with ProcessPoolExecutor(
            min(self.workers, len(ranks)) or 1, get_context(self.start_method), _prepare_worker
        ) as pool:
            started = [pool.submit(self._run_for_rank, rank) for rank in ranks]
            try:
                for done in as_completed(started):
                    yield done.result()
            except BrokenProcessPool as error:
                raise RunFailedError(
                    "a worker of the filter was killed, most often because memory ran out; finished shards are kept: "
                    "run the same again, with fewer engine.workers or more memory"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        # datatrove adds a handler for standard error to every task's log file; the file is enough.
        with redirect_stderr(io.StringIO()):
            return super()._run_for_rank(rank, local_rank, node_rank)


def _prepare_worker() -> None:
    """Let this worker end when the run that started it is killed, and the processes of its checks with it."""
    # Handlers of atexit do not run in a worker.
    Finalize(None, close_check_processes, exitpriority=1)
    parent = parent_process()
    assert parent is not None, "a worker has a parent"
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
