"""Comparisons run in a process that can be killed, and the pool serves on whatever happens to it."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from data_filters.verifiers.math import pool as math_pool
from data_filters.verifiers.math.exact_values import Agreement
from data_filters.verifiers.math.pool import MathWorker, WorkerResult

Await = Callable[[Iterable[int]], None]

EASY = ("\\ln 8", "3\\ln 2")
SLOW = ("\\tan \\theta = 2\\theta", "\\tan \\theta = 3\\theta")
HUNGRY = ("2^{10^{10}}", "5")


@pytest.fixture(scope="module")
def worker() -> Iterator[MathWorker]:
    worker = MathWorker()
    worker.start()
    yield worker
    worker.close()


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def process_of(worker: MathWorker) -> int:
    assert worker._process is not None
    return worker._process.pid


def test_both_views_of_two_formulas_are_told(worker: MathWorker) -> None:
    views = worker.compare(*EASY, seconds=10)

    assert (views.result, views.library, views.numeric) == (WorkerResult.COMPARED, True, Agreement.SAME)


def test_a_comparison_that_takes_too_long_is_killed_and_a_waiting_process_takes_its_place(
    worker: MathWorker,
) -> None:
    process = process_of(worker)
    before = children(process)
    started = time.perf_counter()

    views = worker.compare(*SLOW, seconds=0.05)

    assert views.result == WorkerResult.TIMEOUT
    assert worker.compare(*EASY, seconds=10).library is True
    assert time.perf_counter() - started < 1
    assert process_of(worker) == process
    assert before[0] not in children(process)


def test_a_comparison_may_not_take_more_than_a_gigabyte(worker: MathWorker) -> None:
    worker.compare(*EASY, seconds=10)
    limits = Path(f"/proc/{children(process_of(worker))[0]}/limits").read_text()
    views = worker.compare(*HUNGRY, seconds=3)

    assert limits.split("Max address space")[1].split()[0] == str(1024**3)
    assert views.result in (WorkerResult.MEMORY, WorkerResult.TIMEOUT)
    assert worker.compare(*EASY, seconds=10).library is True


def test_a_comparison_whose_process_is_killed_crashed_and_the_next_one_works(worker: MathWorker) -> None:
    victim = children(process_of(worker))[0]
    killer = threading.Timer(0.1, os.kill, (victim, 9))
    killer.start()

    views = worker.compare(*SLOW, seconds=10)

    killer.join()
    assert views.result == WorkerResult.CRASHED
    assert worker.compare(*EASY, seconds=10).library is True


def test_a_whole_worker_that_is_killed_leaves_no_process_and_is_started_again(
    worker: MathWorker, await_end: Await
) -> None:
    family = [process_of(worker), *children(process_of(worker))]
    os.kill(family[0], 9)

    assert worker.compare(*EASY, seconds=10).library is True
    await_end(family)


def test_a_closed_worker_leaves_no_process(await_end: Await) -> None:
    worker = MathWorker()
    worker.start()
    family = [process_of(worker), *children(process_of(worker))]
    assert len(family) == 3

    worker.close()

    await_end(family)


def test_text_that_no_pipe_carries_is_compared_all_the_same(worker: MathWorker) -> None:
    assert worker.compare("x\ud800", "\0\n", seconds=10).result == WorkerResult.COMPARED


def test_comparisons_work_in_a_thread_beside_the_main_one(worker: MathWorker) -> None:
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(worker.compare(*EASY, seconds=10).library))

    thread.start()
    thread.join()

    assert found == [True]


def _report(queue: "multiprocessing.SimpleQueue[bool | None]") -> None:
    queue.put(math_pool.shared_worker().compare(*EASY, seconds=10).library)
    math_pool.close()


def test_a_daemonic_child_forked_while_the_worker_runs_gets_one_of_its_own() -> None:
    math_pool.shared_worker().start()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    child = context.Process(target=_report, args=(queue,), daemon=True)
    child.start()
    child.join(60)

    assert queue.get() is True
    assert math_pool.shared_worker().compare(*EASY, seconds=10).library is True
    math_pool.close()
