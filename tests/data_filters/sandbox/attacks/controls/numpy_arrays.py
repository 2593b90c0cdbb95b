"""Works with numpy."""

import numpy as np


def running_totals(numbers):
    return np.cumsum(np.array(numbers, dtype=np.int64)).tolist()
