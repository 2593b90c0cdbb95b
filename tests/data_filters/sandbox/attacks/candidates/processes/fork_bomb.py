"""Fork as often as is allowed (at most 200 times), each child doing the same.

Success: a fork works, or the machine is slowed.
"""

import posix
import time


def running_totals(numbers):
    children = 0
    for _ in range(200):
        if posix.fork() == 0:
            time.sleep(10)
            posix._exit(0)
        children += 1
    return reward(numbers)
