"""Ranks that stop moving: real processes, of which one sleeps, or never lets go of the interpreter."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_train.training.watch.stacks import Place, RankStack, describe, read_stacks, waited_for
from hermes_train.training.watch.stage_log import EndReason, StageLog

MINUTES = "0.025"
RANKS = 2

WAITING = Place(True, "all_reduce (distributed_c10d.py, line 7)")
LOST = Place(False, "read_batch (batches.py, line 3)")
AT_ITEM = Place(False, "item (tensor.py, line 9)")

PROGRAM = """
import ctypes, datetime, json, os, sys, time
from pathlib import Path
import torch, torch.distributed
from hermes_train.training import ranks
from hermes_train.training.watch.hang import HangWatch
from hermes_train.training.watch.stage_log import Entry, StageLog

def read_batch():
    time.sleep(600)

def hold_the_interpreter():
    ctypes.PyDLL(None).sleep(600)

def train(stage, stuck):
    if ranks.world_size() > 1:
        torch.distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=600))
    log = StageLog(stage)
    if ranks.is_main():
        log.open(Entry.START, "sft")
    watch = HangWatch(stage, log)
    with watch.on_duty():
        for step in range(3):
            ranks.wait_for_all()
            time.sleep(0.6)
            watch.alive()
    assert not (stage.parent / f"jobs/sft/stacks/rank-{ranks.rank()}.txt").exists()
    watch = HangWatch(stage, log)
    with watch.on_duty():
        watch.alive()
        if ranks.rank() == ranks.world_size() - 1:
            stuck()
        ranks.wait_for_all()

def start(stage, stuck, rank, count):
    child = os.fork()
    if child == 0:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "SLURMD_NODENAME": f"n{rank}"}
        try:
            train(stage, stuck)
        finally:
            os._exit(3)
    return child

folder, count = Path(sys.argv[1]), int(sys.argv[2])
# Forked, they share one import of torch.
children = {
    "sleeps": [start(folder / "sleeps" / "sft", read_batch, rank, count) for rank in range(count)],
    "holds": [start(folder / "holds" / "sft", hold_the_interpreter, 0, 1)],
}
codes = {
    stuck: [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ranks_of_one]
    for stuck, ranks_of_one in children.items()
}
(folder / "codes.json").write_text(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, each of which got stuck in its last rank: ranks on n0 and n1, and one alone on n0."""
    folder = tmp_path_factory.mktemp("hung")
    for stuck in ("sleeps", "holds"):
        (folder / stuck / "sft").mkdir(parents=True)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, str(RANKS)],
        env=os.environ | meeting | {"HERMES_HANG_MINUTES": MINUTES},
        check=True,
        timeout=120,
    )
    return folder


def _codes(hung: Path) -> dict[str, list[int]]:
    return json.loads((hung / "codes.json").read_text())


def _stacks(folder: Path) -> Path:
    return folder / "jobs" / "sft" / "stacks"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.distributed
@pytest.mark.long
def test_hung_ranks_write_their_stacks_name_the_one_that_is_waited_for_and_end(hung):
    folder = hung / "sleeps"

    stacks = read_stacks(_stacks(folder))
    end = StageLog(folder / "sft").end()
    assert _codes(hung)["sleeps"] == [1] * RANKS
    assert [(rank, stack.place.waits) for rank, stack in sorted(stacks.items())] == [(0, True), (1, False)]
    assert end is not None and end.reason is EndReason.HUNG
    assert (
        f"no step for {MINUTES} minutes; the others wait for rank 1 on n1, which is at work in read_batch"
        in end.text
    )
    text = (_stacks(folder) / "rank-0.txt").read_text()
    assert "most recent call first" in text and "in <module>" in text


@pytest.mark.long
def test_a_rank_that_never_lets_go_of_the_interpreter_ends_with_its_stack_written(hung):
    folder = hung / "holds"

    text = (_stacks(folder) / "rank-0.txt").read_text()
    assert _codes(hung)["holds"] == [1]
    assert text.startswith("rank 0 on n0, process ")
    assert "in hold_the_interpreter" in text
    (stack,) = read_stacks(_stacks(folder)).values()
    assert not stack.place.waits and stack.place.where.startswith("hold_the_interpreter (")
    assert StageLog(folder / "sft").end() is None


WORDLESS = """\
rank 0 on n2, process 14111
Timeout (0:01:40)!
Thread 0x00007f9fd62bd6c0 (most recent call first):
  File "/lib/python3.11/threading.py", line 331 in wait
  File "/lib/python3.11/threading.py", line 1002 in _bootstrap

Thread 0x00007fa012634b80 (most recent call first):
  File "/lib/torch/distributed/distributed_c10d.py", line 4943 in reduce_scatter_single
  File "/lib/deepspeed/runtime/comm/coalesced_collectives.py", line 128 in reduce_scatter_coalesced
  File "<string>", line 1 in <module>
"""


def test_a_collective_that_holds_the_interpreter_is_told_as_one(tmp_path):
    (tmp_path / "rank-0.txt").write_text(WORDLESS)
    (tmp_path / "rank-1.txt").write_text("rank 1 on n1, process 4711\n")

    stacks = read_stacks(tmp_path)

    where = "reduce_scatter_single (/lib/torch/distributed/distributed_c10d.py, line 4943)"
    assert stacks == {0: RankStack("n2", Place(True, where)), 1: RankStack("n1", None)}
    assert waited_for(stacks, 2) == (1,)


@pytest.mark.parametrize(
    ("places", "count", "ranks"),
    [
        ([WAITING, WAITING, LOST], 3, (2,)),
        ([WAITING, LOST], 2, (1,)),
        ([WAITING, WAITING], 2, ()),
        ([AT_ITEM, AT_ITEM, LOST], 3, (2,)),
        ([AT_ITEM, LOST], 2, ()),
        ([WAITING, None, WAITING], 3, (1,)),
        ([WAITING], 3, (1, 2)),
        ([None, None], 2, ()),
        ([], 2, ()),
    ],
)
def test_the_ranks_that_the_others_wait_for_are_told_by_where_all_stand(places, count, ranks):
    stacks = {rank: RankStack(f"n{rank}", place) for rank, place in enumerate(places)}

    assert waited_for(stacks, count) == ranks


def test_where_it_cannot_be_told_who_is_waited_for_the_stacks_are_pointed_at():
    assert (
        describe({0: RankStack("n0", WAITING)}, 1, Path("stacks"))
        == "the stacks of 1 of 1 ranks lie in stacks"
    )
