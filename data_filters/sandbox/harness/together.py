"""One process for candidate and tests, for tests that cannot run apart. A hostile candidate can forge the verdict here.

The job, on the channel: {"setup", "code", "tests", "entry_point"}; the verdict goes back as `<Verdict>\\n<detail>`.
"""

from __future__ import annotations

import json
import types
from typing import Any

from data_filters.sandbox.channel import Channel
from data_filters.sandbox.harness.candidate import MODULE
from data_filters.sandbox.harness.messages import Verdict, described, pack
from data_filters.sandbox.harness.program import discard_output, new_module, resolve, run_in


def main(channel: Channel, peer: Channel | None) -> None:
    """Run the job that comes over `channel`."""
    job = json.loads(channel.receive() or b"")
    discard_output()
    verdict, detail = _judge(job)
    channel.send(pack(verdict, detail))


def _judge(job: dict[str, Any]) -> tuple[Verdict, str]:
    module = new_module(MODULE)
    failing = Verdict.BROKEN
    try:
        run_in(module, job["setup"], "<setup>")
        failing = Verdict.RAISED
        run_in(module, job["code"], "<answer>")
    # A program may raise anything; that is its result.
    except BaseException as error:
        return failing, described(error)
    try:
        run_in(module, job["tests"], "<tests>")
        check = vars(module).get("check")
        if job["entry_point"] and isinstance(check, types.FunctionType):
            check(resolve(job["entry_point"], module))
    except AssertionError as error:
        return Verdict.WRONG, described(error)
    except MemoryError:
        return Verdict.MEMORY, "out of memory"
    # The tests call the candidate, and that may raise anything.
    except BaseException as error:
        return Verdict.RAISED, described(error)
    return Verdict.PASSED, ""
