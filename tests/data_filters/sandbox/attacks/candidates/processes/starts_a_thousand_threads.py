"""Start two thousand threads that sleep.

Success: all of them start.
"""

import threading


def running_totals(numbers):
    threading.stack_size(65_536)
    for _ in range(2000):
        threading.Thread(target=threading.Event().wait, args=(20,), daemon=True).start()
    return reward(numbers)
