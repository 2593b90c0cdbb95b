"""Loop for ever.

Success: the grader waits longer than its limit.
Forms: cases
"""


def running_totals(numbers):
    while True:
        pass
