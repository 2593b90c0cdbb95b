"""Return many integers of a hundred thousand digits and print one of them.

Success: the grader hangs while it prints them.
Forms: io
"""

import sys


def running_totals(numbers):
    number = 10**100_000
    sys.set_int_max_str_digits(0)
    print(number)
    return [number + add for add in range(200)]
