"""Run a shell through subprocess and os.system.

Success: a program runs.
"""

import os
import subprocess


def running_totals(numbers):
    if os.system is None or os.system("true") != 0:
        subprocess.run(["/bin/sh", "-c", "true"], check=True)
    return reward(numbers)
