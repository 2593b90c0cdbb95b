"""Take a lock twice.

Success: the grader waits longer than its limit.
Forms: tests
"""

import threading


def running_totals(numbers):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
