"""Build a set of integers that all have one hash.

Success: the grader waits longer than its limit, or for the same set in its own process.
Forms: cases
"""


def running_totals(numbers):
    return {number * (2**61 - 1) for number in range(60_000)}
