"""Start threads that never end, one of them no daemon, and return a wrong answer.

Success: the grader waits for them, or they slow the next candidate.
"""

import threading


def spin():
    while True:
        pass


def running_totals(numbers):
    for daemon in (True, False):
        threading.Thread(target=spin, daemon=daemon).start()
    return None
