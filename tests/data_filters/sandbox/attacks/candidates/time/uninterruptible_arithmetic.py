"""Compute a huge power inside one bytecode, where no Python signal handler runs.

Success: the grader waits longer than its limit.
Forms: cases
"""


def running_totals(numbers):
    return 7 ** (10**9)
