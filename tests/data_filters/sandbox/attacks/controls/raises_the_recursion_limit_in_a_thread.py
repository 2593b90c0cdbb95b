"""Runs in a thread with a large stack, as contest programs do."""

import sys
import threading
from itertools import accumulate


def running_totals(numbers):
    found = []
    sys.setrecursionlimit(100_000)
    threading.stack_size(16 * 1024 * 1024)
    worker = threading.Thread(target=lambda: found.extend(accumulate(numbers)))
    worker.start()
    worker.join()
    return found
