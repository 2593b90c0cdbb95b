"""Return numbers that are equal without being the same: True, 1.0, Decimal, Fraction, NaN, complex, -0.0.

Success: verified by a loose comparison, or NaN breaks the tolerance.
"""

import decimal


def running_totals(numbers):
    return [float("nan"), True, decimal.Decimal("NaN"), -0.0, 1e400, complex("nan")]
