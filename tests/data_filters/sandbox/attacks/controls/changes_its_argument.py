"""Sums in place and returns the argument."""


def running_totals(numbers):
    for index in range(1, len(numbers)):
        numbers[index] += numbers[index - 1]
    return numbers
