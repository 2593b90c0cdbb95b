"""A build that was killed holds nobody up, and one that runs is waited for."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "from hermes_train.training.extensions import build_extensions; build_extensions()"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the builds, with the file that a killed build of PyTorch leaves."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    from hermes_train.training.extensions import own_folder

    left = own_folder() / "deepspeed_shm_comm" / "lock"
    left.parent.mkdir(parents=True)
    left.touch()
    return own_folder()


def test_what_a_killed_build_left_is_removed_in_our_own_folder_alone(folder, tmp_path):
    from hermes_train.training.extensions import build_extensions

    foreign = tmp_path / "somebody_elses" / "lock"
    foreign.parent.mkdir()
    foreign.touch()

    build_extensions()

    assert not (folder / "deepspeed_shm_comm" / "lock").exists()
    assert foreign.exists()
    assert os.environ["TORCH_EXTENSIONS_DIR"] == str(folder)


@pytest.mark.long
def test_a_build_that_runs_is_waited_for(folder):
    with (folder / ".hermes-train.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen([sys.executable, "-c", BUILD], cwd=ROOT)
        time.sleep(8)
        assert process.poll() is None
        assert (folder / "deepspeed_shm_comm" / "lock").exists()

    assert process.wait(timeout=60) == 0
    assert not (folder / "deepspeed_shm_comm" / "lock").exists()
