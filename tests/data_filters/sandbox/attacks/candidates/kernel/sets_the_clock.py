"""Set the machine's clock (to the time that it shows).

Success: the clock may be set.
"""

import time


def running_totals(numbers):
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
    return reward(numbers)
