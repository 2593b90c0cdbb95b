"""Recurses five thousand deep."""

import sys

sys.setrecursionlimit(20_000)


def depth(left):
    return 0 if left == 0 else 1 + depth(left - 1)


def running_totals(numbers):
    assert depth(5_000) == 5_000
    if not numbers:
        return []
    return [*running_totals(numbers[:-1]), sum(numbers)]
