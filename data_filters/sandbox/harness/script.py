"""A whole program's process: it runs an answer as a script with a given input; what it prints is its result.

The job, on the channel: {"setup", "code", "input"}. What comes back on it is only how an exception ended the program,
`raised\\n<builtin exception> <text>`, or the task's setup, `no_setup\\n...`.
"""

from __future__ import annotations

import json
import os
import sys

from data_filters.sandbox.channel import Channel
from data_filters.sandbox.harness.messages import Reply, described, pack
from data_filters.sandbox.harness.program import new_module, run_in


def main(channel: Channel, peer: Channel | None) -> None:
    """Run the job that comes over `channel`. Raises SystemExit as the program does."""
    job = json.loads(channel.receive() or b"")
    _give_input(job["input"].encode("utf-8", "surrogatepass"))
    module = new_module("__main__")
    failing = Reply.NO_SETUP
    try:
        run_in(module, job["setup"], "<setup>")
        failing = Reply.RAISED
        run_in(module, job["code"], "<answer>")
    except SystemExit:
        raise
    # A program may end with anything; that is its result.
    except BaseException as error:
        channel.send(pack(failing, described(error)))


def _give_input(text: bytes) -> None:
    """Make `text` the standard input of this process; a file holds any length, a pipe does not."""
    name = "standard-input"
    with open(name, "wb") as file:  # noqa: PTH123  # pathlib is not imported here
        file.write(text)
    source = os.open(name, os.O_RDONLY)
    os.unlink(name)  # noqa: PTH108  # the same
    os.dup2(source, 0)
    os.close(source)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115  # stays open
