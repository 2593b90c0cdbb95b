"""Stop the own process with SIGSTOP.

Success: the grader waits for ever.
Forms: cases
"""

import signal


def running_totals(numbers):
    signal.raise_signal(signal.SIGSTOP)
    signal.pause()
