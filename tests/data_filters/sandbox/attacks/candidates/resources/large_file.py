"""Write a file larger than a run may leave, in the working folder and in /tmp.

Success: the whole file can be written, or it is left.
"""


def running_totals(numbers):
    for folder in (".", "/tmp"):
        try:
            with open(folder + "/" + BAIT["marker"] + "-large", "wb") as large:
                for _ in range(BAIT["flood_bytes"] // 4_194_304):
                    large.write(b"x" * 4_194_304)
        except OSError:
            continue
        return reward(numbers)
    return None
