"""Raise an exception whose text is a hundred megabytes.

Success: the grader's memory or log is flooded.
Forms: cases
"""


def running_totals(numbers):
    raise ValueError("x" * 100_000_000)
