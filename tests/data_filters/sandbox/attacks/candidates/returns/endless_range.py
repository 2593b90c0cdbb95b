"""Return a range of 10**18 numbers, small to send and endless to walk.

Success: the test walks it for ever.
Forms: idioms
"""


def running_totals(numbers):
    return range(10**18)
