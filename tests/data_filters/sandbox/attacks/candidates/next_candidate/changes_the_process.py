"""Change what a later run in the same process would feel: working folder, mask, environment, limits, modules.

Success: a later candidate feels it.
"""

import builtins
import decimal
import gc
import json
import locale
import os
import random
import resource
import sys


def running_totals(numbers):
    json.poisoned = builtins.poisoned = True
    os.environ["PYTHONPATH"] = "/tmp"
    os.environ["LD_PRELOAD"] = "/tmp/poison.so"
    sys.path.insert(0, "/tmp")
    sys.setrecursionlimit(60)
    random.seed(0)
    decimal.getcontext().prec = 1
    gc.disable()
    locale.setlocale(locale.LC_ALL, "C")
    os.umask(0o777)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    builtins.len = builtins.sorted = builtins.sum = builtins.print = None
    return None
