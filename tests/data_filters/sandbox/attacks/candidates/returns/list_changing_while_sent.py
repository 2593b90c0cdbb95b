"""Return a list that a thread keeps growing and clearing.

Success: the grader breaks while it reads it.
"""

import threading


def running_totals(numbers):
    answer = list(range(1000))

    def change():
        while True:
            answer.extend([[0]] * 1000)
            answer.clear()

    threading.Thread(target=change, daemon=True).start()
    return answer
