"""What all tests share: nothing may skip in CI but `gpu`, the Hub is never asked, where the real data lies, and runs of
the smallest recipe."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
# Several tests run at a time; with two threads each they would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
Command = Callable[..., subprocess.CompletedProcess[str]]
Await = Callable[[Iterable[int]], None]
MadeOnce = Callable[[str, Callable[[Path], None]], Path]
WandbRecords = Callable[[Path], list[list[Any]]]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure where HERMES_TRAIN_NO_SKIPS is set: a test that silently skips proves nothing."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("HERMES_TRAIN_NO_SKIPS") and item.get_closest_marker("gpu") is None:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, but only tests marked gpu may skip here: {report.longrepr}"
        )


@pytest.fixture(autouse=True)
def _no_gpu_no_skip(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder


@pytest.fixture(scope="session")
def await_end() -> Await:
    """Waits until none of some processes runs, and fails where one still does.

    A process that has ended and is waited for by nobody counts as ended: where the first process of a container reaps
    nobody, it stays as a zombie for good.
    """

    def runs(process: int) -> bool:
        try:
            return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def wait(processes: Iterable[int]) -> None:
        deadline = time.monotonic() + 10
        left = list(processes)
        while left := [process for process in left if runs(process)]:
            assert time.monotonic() < deadline, f"still running: {left}"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def smoke() -> Path:
    """The smallest recipe."""
    return ROOT / "recipes" / "smoke.yaml"


@pytest.fixture(scope="session")
def wandb_records() -> WandbRecords:
    """Reads what a stage's offline runs of W&B hold: the records of each part of the run, oldest first."""

    def read(stage: Path) -> list[list[Any]]:
        from wandb.proto.wandb_internal_pb2 import Record

        files = sorted(stage.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
        return [[Record.FromString(data) for data in _log_records(file.read_bytes())] for file in files]

    return read


def _log_records(content: bytes, header: int = 7, block: int = 32768) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: in each block pieces of checksum, length, type and data."""
    place, record = header, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        record += content[place + 7 : place + 7 + length]
        # 1 is a whole record, 2 its first piece, 3 a middle one, 4 its last.
        if content[place + 6] in (1, 4):
            yield record
            record = b""
        place += 7 + length


@pytest.fixture(scope="session")
def hermes_train() -> Command:
    """The command line in a process of its own, or under torchrun with `ranks=2`."""

    def run(*arguments: str | Path, ranks: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
        launcher = [sys.executable]
        if ranks > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        # One thread a rank, as torchrun sets it: another number of threads adds up in another order.
        settings = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
        command = [*launcher, "-m", "hermes_train", *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=600, check=False
        )

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MadeOnce:
    """Makes a folder that all workers of the test session share: the first to ask fills it, the others wait."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def make_once(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def packed_runs(made_once: MadeOnce, hermes_train: Command, smoke: Path) -> Path:
    """The runs folder of a smoke run whose packs are made. Tests must not change it."""

    def fill(runs: Path) -> None:
        done = hermes_train("run", smoke, "--until", "pack", "--runs", runs)
        assert done.returncode == 0, done.stderr

    return made_once("packed", fill)


@pytest.fixture
def runs(packed_runs: Path, tmp_path: Path) -> Path:
    """A copy of it for a test that trains."""
    shutil.copytree(packed_runs, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def finished_run(made_once: MadeOnce, hermes_train: Command, smoke: Path) -> Path:
    """The folder of a whole smoke run, made without interruption. Tests must not change it."""

    def fill(runs: Path) -> None:
        started = time.perf_counter()
        done = hermes_train("run", smoke, "--runs", runs)
        assert done.returncode == 0, done.stdout + done.stderr
        (runs / "seconds.txt").write_text(str(time.perf_counter() - started))

    return made_once("finished", fill) / "smoke"
