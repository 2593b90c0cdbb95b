"""Open descriptors until the system says no, at most ten thousand.

Success: all of them can be opened.
"""

import posix


def running_totals(numbers):
    for _ in range(10_000):
        posix.open("/dev/null", posix.O_RDONLY)
    return reward(numbers)
