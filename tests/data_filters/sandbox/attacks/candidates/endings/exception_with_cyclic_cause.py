"""Raise an exception that is its own cause, with a deep chain behind it.

Success: the grader hangs or breaks while it follows the chain.
Forms: cases tests
"""


def running_totals(numbers):
    error = ValueError("passed")
    last = error
    for _ in range(50_000):
        following = ValueError("passed")
        last.__cause__ = following
        last = following
    last.__context__ = error
    raise error
