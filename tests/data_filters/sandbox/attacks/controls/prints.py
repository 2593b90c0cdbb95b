"""Prints while it works.

Forms: tests cases
"""

import sys
from itertools import accumulate


def running_totals(numbers):
    print("given", numbers)
    print("working", file=sys.stderr)
    return list(accumulate(numbers))
