"""Worker processes that end with the run that started them, and tell when one of them is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

from data_filters.errors import RunFailedError

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerPool:
    """Worker processes for one job; each starts when there is first something for it to do, and stays."""

    def __init__(self, executor: ProcessPoolExecutor, job: str) -> None:
        self._executor = executor
        self._job = job

    def run(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what `function` returns for each item, in the order in which they are done.

        What `function` raises is raised here. Raises RunFailedError, which names the job, when a worker was killed.
        """
        started = [self._executor.submit(function, item) for item in items]
        try:
            for done in as_completed(started):
                yield done.result()
        except BrokenProcessPool as error:
            raise RunFailedError(
                f"a worker of {self._job} was killed, most often because memory ran out; finished shards are kept: "
                "run the same again, with fewer workers or more memory"
            ) from error


@contextmanager
def worker_pool(
    workers: int,
    job: str,
    prepare: Callable[[], None] | None = None,
    start_method: str = "forkserver",
    preload: Sequence[str] = (),
) -> Iterator[WorkerPool]:
    """Give a pool of at most `workers` processes; what waits when it is left is given up.

    `prepare` is called once in each. `preload` names modules that are imported once for all of them, where no pool of
    this process came before.
    """
    context = get_context(start_method)
    if preload:
        context.set_forkserver_preload(["__main__", *preload])
    # Not daemons, as a multiprocessing pool's workers are: checks start processes of their own.
    executor = ProcessPoolExecutor(workers, context, _prepare_worker, (prepare,))
    try:
        yield WorkerPool(executor, job)
    finally:
        executor.shutdown(cancel_futures=True)


def _prepare_worker(prepare: Callable[[], None] | None) -> None:
    """Let this worker end when the run that started it is killed."""
    if prepare is not None:
        prepare()
    parent = parent_process()
    assert parent is not None, "a worker has a parent"
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
