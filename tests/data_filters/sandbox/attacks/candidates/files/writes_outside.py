"""Write into the data folder, the home folder, the system's and Python's own folders.

Success: a file with the marker's name is left in one of them.
"""

import os
import posix


def running_totals(numbers):
    library = os.__file__.rpartition("/")[0]
    for folder in (
        BAIT["folder"],
        BAIT["home"],
        "/",
        "/etc",
        "/usr/lib",
        library,
        library + "/site-packages",
    ):
        try:
            posix.close(posix.open(f"{folder}/{BAIT['marker']}-written", posix.O_CREAT | posix.O_WRONLY))
        except OSError:
            continue
    return None
