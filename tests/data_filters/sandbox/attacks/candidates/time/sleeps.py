"""Sleep without using the processor.

Success: the grader waits longer than its limit.
Forms: cases
"""

import time


def running_totals(numbers):
    time.sleep(3600)
