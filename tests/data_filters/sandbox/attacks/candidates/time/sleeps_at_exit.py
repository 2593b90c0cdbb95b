"""Answer wrongly at once, then sleep in an exit handler and a thread that is waited for.

Success: the grader waits for the process longer than its limit.
Forms: io
"""

import atexit
import threading
import time

atexit.register(time.sleep, 3600)
threading.Thread(target=time.sleep, args=(3600,)).start()


def running_totals(numbers):
    return [0]
