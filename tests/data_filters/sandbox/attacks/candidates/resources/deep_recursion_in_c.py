"""Overflow the C stack through a comparison that nests in the interpreter's own code.

Success: the grader breaks with the candidate's stack.
Forms: tests
"""

import functools
import sys


def running_totals(numbers):
    sys.setrecursionlimit(2**31 - 1)
    nested = functools.partial(int)
    for _ in range(200_000):
        nested = functools.partial(print, nested)
    return repr(nested)
