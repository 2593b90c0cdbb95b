"""What caller, server and inmate agree on, besides the messages of a run."""

KILL = b"kill"
"""The caller's order to end the inmate; any other order is JSON and starts one: {"harness": ..., "limits": ...}."""
READY = b"ready"
"""What an inmate tells its server when its confinement is complete."""
OUT_OF_MEMORY = 101
"""Exit code of an inmate whose harness ended with a MemoryError."""
UNCAUGHT = 1
"""Exit code of an inmate whose harness ended with another exception; its traceback is on the standard error."""
