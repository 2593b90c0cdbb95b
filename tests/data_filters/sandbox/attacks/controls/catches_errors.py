"""Raises and catches exceptions on the way."""


def running_totals(numbers):
    totals = []
    for number in numbers:
        try:
            totals.append(totals[-1] + number)
        except IndexError:
            totals.append(number)
    return totals
