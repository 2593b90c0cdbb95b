"""Start a worker through multiprocessing and concurrent.futures.

Success: a process starts.
"""

import multiprocessing


def running_totals(numbers):
    worker = multiprocessing.get_context("fork").Process(target=int)
    worker.start()
    worker.join(5)
    return reward(numbers) if worker.exitcode == 0 else None
