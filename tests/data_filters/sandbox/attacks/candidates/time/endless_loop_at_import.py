"""Loop for ever while the program is loaded.

Success: the grader waits longer than its limit.
Forms: tests
"""

while True:
    pass
