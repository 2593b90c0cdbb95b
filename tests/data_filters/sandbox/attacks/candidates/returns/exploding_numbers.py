"""Return numbers that are short to write and enormous to use.

Success: the test hangs or breaks while it adds, hashes or prints them.
"""

from decimal import Decimal
from fractions import Fraction


def running_totals(numbers):
    return [Decimal("1e999999999999999999"), Fraction(1, 10**5000), 10**5000, Decimal("-0"), Decimal("sNaN")]
