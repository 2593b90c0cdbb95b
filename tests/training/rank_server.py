"""Imports what training needs once, and forks training ranks from then on: a start costs a second, not ten.

Reads a line of JSON for each start, {"arguments": ["sft", "recipes/smoke.yaml", ...], "port": 29500, "ranks": 2,
"slow_rank": 1}, and answers with the ranks' process ids; for {"wait": true} it waits for them and answers with their
exit codes. On the slow rank, where one is named, each linear layer takes SLOW_SECONDS longer.
"""

import json
import os
import sys
import time
import traceback

import torch

import hermes_train.pipeline
import hermes_train.training.job
from hermes_train import cli

# Imported here for the ranks.
assert hermes_train.pipeline
assert hermes_train.training.job


SLOW_SECONDS = 0.005


def answer(text):
    """Say a line to the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def become_rank(rank, request):
    """Run the command line as one rank of a launcher; never returns."""
    os.setsid()
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(request["ranks"]),
        "LOCAL_WORLD_SIZE": str(request["ranks"]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(request["port"]),
    }
    if rank == request["slow_rank"]:
        slow_down()
    sys.argv = ["hermes-train", *request["arguments"]]
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    code = 1
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # what a rank died of must be seen, whatever it was
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def slow_down():
    """Let every linear layer of this process take longer, as on a GPU whose clocks are down."""
    plain_forward = torch.nn.Linear.forward

    def forward(self, hidden):
        time.sleep(SLOW_SECONDS)
        return plain_forward(self, hidden)

    torch.nn.Linear.forward = forward


def start(request):
    """Fork the ranks. Returns their process ids."""
    processes = []
    for rank in range(request["ranks"]):
        process = os.fork()
        if process == 0:
            become_rank(rank, request)
        processes.append(process)
    return processes


def serve():
    """Answer requests until stdin ends."""
    running = []
    answer("ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in running]
            answer(json.dumps(codes))
        else:
            running = start(request)
            answer(json.dumps(running))


if __name__ == "__main__":
    serve()
