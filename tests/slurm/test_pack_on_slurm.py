"""The documents of the pack stage made by an array of jobs are those that one machine makes, kills or not."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The rows that tests pack lie beside other tests.
sys.path.append(str(Path(__file__).parents[1] / "stages"))

from pack_rows import ROOT, contents, inputs_for, sample, write_rows  # found by the line above

from hermes_train.stages.pack import make_packs

pytestmark = pytest.mark.slurm

PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pack_rows import inputs_for
from hermes_train.stages.pack import make_packs
prepared, filtered, folder = map(Path, sys.argv[2:5])
make_packs(inputs_for(prepared, filtered, **json.loads(sys.argv[5])), folder)
"""
ARRAY = {
    "data.engine": "{executor: slurm, workers: 2, slurm: {memory_gigabytes_per_worker: 1}}",
    "data.engine.slurm.partition": "test",
}
LATE = ARRAY | {"data.engine.slurm.sbatch": "{begin: now+1hour}"}


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "filter", map(sample, range(3500)))


@pytest.fixture(scope="module")
def made_here(packed_runs: Path, filtered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one process makes. Tests must not change it."""
    folder = tmp_path_factory.mktemp("here") / "pack"
    make_packs(inputs_for(packed_runs / "smoke" / "prepare", filtered), folder)
    return folder


@pytest.fixture
def nothing_left(slurm_cluster: Any) -> Iterator[None]:
    yield
    assert slurm_cluster.command("squeue", "--noheader") == ""


def made(folder: Path) -> dict[str, bytes]:
    """All that the stage leaves for others."""
    return {name: data for name, data in contents(folder).items() if not name.startswith("logs/")}


def test_jobs_on_two_nodes_make_the_same_bytes_as_one_process(
    slurm_cluster: Any, packed_runs: Path, filtered: Path, made_here: Path, tmp_path: Path
) -> None:
    inputs = inputs_for(packed_runs / "smoke" / "prepare", filtered, **ARRAY)
    calls: list[tuple[int, int]] = []

    make_packs(inputs, tmp_path / "pack", lambda done, of: calls.append((done, of)))

    assert (made_here / "sft" / "documents-00003.arrow").is_file()
    assert made(tmp_path / "pack") == contents(made_here)
    # Four shards, as many segments to look for thoughts, the documents of the hybrid stage, the pairs.
    assert (4, 10) in calls
    assert calls[-1] == (10, 10)
    jobs = tmp_path.glob("pack/logs/*/slurm_logs/*.out")
    assert len(list(jobs)) == 2


def test_a_killed_stage_waits_for_its_jobs_and_one_with_other_settings_cancels_them(
    slurm_cluster: Any,
    packed_runs: Path,
    filtered: Path,
    made_here: Path,
    tmp_path: Path,
    nothing_left: None,
) -> None:
    folder, prepared = tmp_path / "pack", packed_runs / "smoke" / "prepare"
    shutil.copytree(made_here, folder)
    # Only what is lost is to be made anew.
    (folder / "sft" / "documents-00002.arrow").unlink()
    kill_waiting_stage(prepared, filtered, folder, LATE)
    (array,) = set(slurm_cluster.command("squeue", "--noheader", "--format=%F").split())

    slurm_cluster.command("scontrol", "update", f"JobId={array}", "StartTime=now")
    make_packs(inputs_for(prepared, filtered, **ARRAY), folder)
    assert made(folder) == contents(made_here)
    (log,) = folder.glob("logs/*/engine.log")
    assert re.findall(r"waiting for Slurm job .* (\d+) tasks", log.read_text()) == ["1"]

    # Its jobs would write documents of these settings among those of others.
    kill_waiting_stage(prepared, filtered, folder, LATE | {"pack.history": "strip"})
    make_packs(inputs_for(prepared, filtered), folder)
    assert made(folder) == contents(made_here)


def kill_waiting_stage(prepared: Path, filtered: Path, folder: Path, settings: dict[str, str]) -> None:
    """Start the stage in a process of its own and kill it when its jobs are in the queue."""
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(ROOT / "tests/stages"),
        *map(str, (prepared, filtered, folder)),
    ]
    process = subprocess.Popen([*command, json.dumps(settings)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while (
        "hermes-pack"
        not in subprocess.run(
            ["squeue", "--noheader", "--format=%j"], capture_output=True, text=True, check=True
        ).stdout
    ):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
