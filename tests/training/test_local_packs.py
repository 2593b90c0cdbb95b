"""Training reads packs from the node's own disk, and the losses are those of the shared folder.

Two nodes are two launchers on this machine, with ranks of their own.
"""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_disk import files_of_at_most
from small_stages import GLOBAL_BATCH, Planned, train, write_model, write_packs, write_plan

from data_filters.errors import RunFailedError
from hermes_train.packing.dataset import Dealing, PackedData, StepSampler
from hermes_train.packing.node_share import NodeShare
from hermes_train.training.local_cache import LocalCache
from hermes_train.training.local_packs import Telling, _Copying, packs_on_node
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.signals import StopSignal, deferred, stop_signals

STEPS, SEED, RANKS_PER_NODE = 6, 5, 2
SHARE = NodeShare(SEED, Dealing(1, 1, GLOBAL_BATCH), 1, range(1), 0, STEPS)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    write_model(folder / "model")
    write_packs(folder / "packs")
    return folder


@pytest.fixture
def packs(root, tmp_path):
    """A copy of the packs that a test may damage."""
    return shutil.copytree(root / "packs", tmp_path / "packs")


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def telling(warnings):
    return Telling(Console(file=io.StringIO(), width=300), warnings.append, "sft")


def copies(disk):
    return sorted(path for path in disk.glob("hermes-train-*/*") if path.is_dir())


def losses(folder):
    return [(line["loss"], line["grad_norm"]) for line in read_metrics(Path(folder) / "metrics.jsonl")]


def spoil(packs):
    """Let whoever reads tokens from the shared folder train on zeros."""
    for shard in packs.glob("documents-*.arrow"):
        shard.write_bytes(bytes(shard.stat().st_size))


@pytest.fixture(scope="module")
def plain(root):
    """A stage that reads the shared folder."""
    stage = Planned(str(root / "plain"), str(root / "model"), str(root / "packs"), steps=STEPS)
    train(stage)
    return losses(stage.folder)


@pytest.mark.long
def test_a_stopped_stage_goes_on_from_its_copy_to_the_same_losses_and_removes_it(
    root, packs, disk, plain, tmp_path, capfd
):
    stage = Planned(
        str(tmp_path / "sft"),
        str(root / "model"),
        str(packs),
        steps=STEPS,
        local_cache=str(disk),
    )
    train(replace(stage, stop_after=3))
    assert "sft: copied 0.00 GB of packs" in capfd.readouterr().out
    assert len(copies(disk)) == 1
    spoil(packs)

    train(stage)

    assert "packs are read from" in capfd.readouterr().out
    assert losses(stage.folder) == plain
    assert copies(disk) == []


def test_without_room_the_shared_folder_is_read_and_the_user_is_told(packs, disk, telling, warnings):
    with files_of_at_most(4096), packs_on_node(disk, packs, SHARE, telling) as copy:
        assert copy is None

    assert copies(disk) == []
    (warning,) = warnings
    assert re.search(r"has no room for packs in .*File too large.*its ranks read them from .*packs", warning)


def test_a_copy_that_would_not_fit_is_not_begun(packs, disk, telling, warnings, monkeypatch):
    # No test can fill a disk of unknown size.
    monkeypatch.setattr(LocalCache, "room", lambda cache: 1000)

    with packs_on_node(disk, packs, SHARE, telling) as copy:
        assert copy is None

    assert re.search(r"0\.00 GB are needed and 0\.00 may be taken", warnings[0])


def test_without_a_disk_the_shared_folder_is_read(packs, telling, warnings):
    with packs_on_node(None, packs, SHARE, telling) as copy:
        assert copy is None

    assert warnings == []


def test_a_copy_cut_off_by_a_kill_is_made_anew(packs, disk, telling, monkeypatch):
    child = os.fork()
    if child == 0:
        kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731 - the report of progress
        monkeypatch.setattr(_Copying, "_progress", lambda copying: kill)
        with packs_on_node(disk, packs, SHARE, telling):
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (left,) = copies(disk)
    assert left.name.endswith(".part")

    with packs_on_node(disk, packs, SHARE, telling) as copy:
        assert copies(disk) == [copy]
        PackedData(packs, 0, copy=copy).pack(0)


@pytest.mark.parametrize("change", ["packs", "seed", "ranks"])
def test_a_copy_serves_only_the_packs_seed_and_ranks_that_it_was_made_for(
    packs, disk, telling, change, tmp_path
):
    with suppress(RunFailedError), packs_on_node(disk, packs, SHARE, telling) as first:
        raise RunFailedError("the copy stays for the next try")
    with suppress(RunFailedError), packs_on_node(disk, packs, SHARE, telling) as again:
        raise RunFailedError("the copy stays for the next try")
    assert again == first
    share = SHARE
    if change == "packs":
        os.utime(packs / "index.npz", (1, 1))
    elif change == "seed":
        share = replace(SHARE, seed=SEED + 1)
    else:
        share = replace(SHARE, dealing=Dealing(2, 1, GLOBAL_BATCH // 2), ranks=range(1, 2))

    with packs_on_node(disk, packs, share, telling) as other:
        assert other not in (None, first)


def test_a_signal_ends_a_copy_at_once(packs, disk, telling):
    with stop_signals(), pytest.raises(StopSignal), deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        with packs_on_node(disk, packs, SHARE, telling):
            pytest.fail("the copy was made to its end")


def test_a_rank_that_hears_nothing_of_the_copy_gives_up(packs, disk, telling, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("HERMES_TIMEOUT_MINUTES", "0.01")

    with (
        pytest.raises(
            RunFailedError, match=r"waited 0.0 min: nothing was added to .*; is a file system stuck"
        ),
        packs_on_node(disk, packs, SHARE, telling),
    ):
        pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def train_on_two_nodes(plan):
    """Run a plan of small stages by two launchers. Returns what they said."""
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=local"]
    script = str(Path(__file__).with_name("small_stages.py"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", *meeting]
    nodes = [
        subprocess.Popen(
            [
                *launcher,
                f"--rdzv-conf=is_host={host}",
                f"--nproc-per-node={RANKS_PER_NODE}",
                script,
                str(plan),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for host in (1, 0)
    ]
    said = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said[0][-3000:] + said[1][-3000:]
    return "".join(said)


@pytest.mark.distributed
@pytest.mark.long
def test_each_node_copies_what_its_ranks_read_and_the_losses_stay_the_same(root, disk):
    stages = [
        Planned(
            str(root / name),
            str(root / "model"),
            str(root / "packs"),
            steps=STEPS,
            stop_after=2,
            local_cache=cache,
        )
        for name, cache in (("shared", None), ("local", str(disk)))
    ]

    train_on_two_nodes(write_plan(root / "plan.json", stages))

    shared, local = (losses(stage.folder) for stage in stages)
    assert len(shared) == 2
    assert local == shared
    held = {tuple(np.load(copy / "numbers.npy").tolist()) for copy in copies(disk)}
    assert held == {documents_read(root / "packs", node) for node in range(2)}


def documents_read(packs, node):
    """The documents that the sampler deals to the ranks of a node up to the last step, and of the step and the row that
    are looked at beside them."""
    data, all_ranks = PackedData(packs, 0), 2 * RANKS_PER_NODE
    dealing = Dealing(all_ranks, 1, GLOBAL_BATCH // all_ranks)
    per_epoch = len(data) // GLOBAL_BATCH
    read = {0}
    for step in range(STEPS + 1):
        first = step // per_epoch * per_epoch
        rows = list(StepSampler(len(data), SEED, dealing, lambda first=first: first, data.attention_works()))
        of_step = np.reshape(rows[(step - first) * GLOBAL_BATCH :][:GLOBAL_BATCH], (-1, 2, RANKS_PER_NODE))
        read |= set(of_step[:, node].ravel().tolist())
    return tuple(sorted({int(number) for pack in read for number in data.index.documents(pack)}))
