"""Make twenty thousand files in the working folder and in /tmp.

Success: all of them can be made, or they are left.
"""

import posix


def running_totals(numbers):
    for folder in (".", "/tmp"):
        try:
            posix.mkdir(folder + "/" + BAIT["marker"] + "-many")
            for number in range(20_000):
                open(f"{folder}/{BAIT['marker']}-many/{number}", "w").close()
        except OSError:
            continue
        return reward(numbers)
    return None
