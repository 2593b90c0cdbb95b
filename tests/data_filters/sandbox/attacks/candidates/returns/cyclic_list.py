"""Return a list that holds itself, and a dictionary that holds both.

Success: the grader hangs or overflows its stack.
"""


def running_totals(numbers):
    answer = list(numbers)
    answer.append({"answer": answer})
    answer.append(answer[-1])
    return answer
