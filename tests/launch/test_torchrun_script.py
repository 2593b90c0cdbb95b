"""launch/torchrun.sh: what it starts, with which settings, and what it says to wrong use."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_train.training.torchrun import torchrun_command
from hermes_train.training.watch.stage_log import EndReason, StageLog

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "launch" / "torchrun.sh"
SMOKE = str(ROOT / "recipes" / "smoke.yaml")
SHOW = """#!/bin/sh
[ "$2" = hermes_train.cluster.rendezvous ] && exec REAL "$@"
env
for word; do echo "word=$word"; done
"""
"""In Python's place: says what it was started with. Where the hosts meet is asked of Python itself."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A site whose virtual environment shows what is started in it."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(SHOW.replace("REAL", sys.executable))
    python.chmod(0o755)
    file = tmp_path / "cluster.env"
    file.write_text(
        f"HERMES_VENV={tmp_path}/venv\nHERMES_MODULES=\nNCCL_DEBUG=\nNCCL_IB_HCA=mlx5_0\nHF_HOME=\n"
    )
    return file


def start(settings: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script as on a host that has no GPU and is in no job."""
    own = {"PATH": os.environ["PATH"], "HERMES_CLUSTER_ENV": str(settings), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [str(SCRIPT), *arguments],
        env=own | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def words(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What Python was started with."""
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("word=") for line in done.stdout.splitlines() if line.startswith("word=")]


def variables(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The environment that Python was started with."""
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("word=")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        ([], {}, "name a stage and a recipe"),
        (["sft"], {}, "name a stage and a recipe"),
        (["sft", "nowhere.yaml"], {}, "there is no recipe nowhere.yaml in "),
        (
            ["stf", SMOKE],
            {},
            "there is no stage stf that runs on ranks; there are sft, hybrid, dpo and preflight",
        ),
        (["pack", SMOKE], {}, "pack is a stage of one process, without ranks"),
        (["sft", SMOKE], {"HERMES_NODES": "two"}, "HERMES_NODES=two is no number of hosts"),
        (["sft", SMOKE], {"HERMES_RANKS_PER_NODE": "0"}, "HERMES_RANKS_PER_NODE=0 is no number of ranks"),
        (["sft", SMOKE], {"HERMES_NODES": "2"}, "2 hosts need a place to meet: set HERMES_RENDEZVOUS"),
        (["sft", SMOKE], {"SLURM_NNODES": "4"}, "4 hosts need a place to meet"),
        (["sft", SMOKE], {"HERMES_VENV": "/nowhere"}, "/nowhere/bin/python is not there on "),
        (["sft", SMOKE], {"HERMES_MODULES": "cuda"}, "has no command 'module'"),
        (["sft", SMOKE], {"HERMES_CLUSTER_ENV": "/nowhere"}, "HERMES_CLUSTER_ENV names /nowhere"),
        *(
            (["sft", SMOKE], {"HERMES_NODES": "2", "HERMES_RENDEZVOUS": endpoint}, told)
            for endpoint, told in {
                "node1": "write a host and a port of it (1 to 65535), such as node1:29500",
                "node1:99999": "write a host and a port of it (1 to 65535)",
                "no-such-host.invalid:29500": "knows no host no-such-host.invalid",
                "localhost:29500": "on every host that is the host itself",
            }.items()
        ),
    ],
)
def test_wrong_use_is_told_in_one_line(
    settings: Path, arguments: list[str], environment: dict[str, str], told: str
) -> None:
    done = start(settings, *arguments, **environment)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_port_that_another_process_has_taken_is_told_with_what_to_do(settings: Path) -> None:
    with socket.socket() as stale:
        stale.bind(("", 0))
        stale.listen()
        port = stale.getsockname()[1]
        # In a job the first node is that of the rendezvous, whatever its address.
        job = {"SLURM_JOB_ID": "7", "SLURM_NODEID": "0", "SLURM_NNODES": "2"}
        done = start(settings, "sft", SMOKE, HERMES_RENDEZVOUS=f"127.0.0.1:{port}", **job)

    assert done.returncode == 2
    assert f"the port {port} of {socket.gethostname()} is taken" in done.stderr
    assert "choose another port" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("seconds", [None, "1800"])
def test_one_host_is_told_the_same_of_signals_and_saves_as_ranks_without_the_script(
    settings: Path, seconds: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HERMES_SIGNAL_SECONDS", raising=False)
    if seconds is not None:
        monkeypatch.setenv("HERMES_SIGNAL_SECONDS", seconds)
        settings.write_text(f"{settings.read_text()}HERMES_SIGNAL_SECONDS={seconds}\n")
    started = words(start(settings, "sft", SMOKE, "-o", "sft.steps=5"))

    assert f"--shutdown-timeout={seconds or 600}" in started
    shared = {word for word in torchrun_command(1)[1:] if word.startswith("--") and "nproc" not in word}
    assert shared <= set(started)
    assert {"--nnodes=1", "--nproc-per-node=1", "--max-restarts=0"} <= set(started)
    assert started[-6:] == ["-m", "hermes_train", "sft", SMOKE, "-o", "sft.steps=5"]


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1,5"}, 3),
        ({"CUDA_VISIBLE_DEVICES": ""}, 1),
        ({"HERMES_RANKS_PER_NODE": "4"}, 4),
    ],
)
def test_a_host_has_a_rank_for_each_gpu_it_sees_unless_told_otherwise(
    settings: Path, environment: dict[str, str], ranks: int
) -> None:
    assert f"--nproc-per-node={ranks}" in words(start(settings, "dpo", SMOKE, **environment))


def test_each_node_of_a_job_finds_its_own_part_and_no_other_job_or_try(settings: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rendezvous:
        endpoint = f"127.0.0.1:{rendezvous.getsockname()[1]}"
        job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURM_STEP_ID": "1", "SLURM_NNODES": "2"}
        second = words(start(settings, "sft", SMOKE, HERMES_RENDEZVOUS=endpoint, SLURM_NODEID="1", **job))
    first = words(start(settings, "sft", SMOKE, HERMES_RENDEZVOUS=endpoint, SLURM_NODEID="0", **job))

    assert "--rdzv-conf=is_host=1" in first and "--rdzv-conf=is_host=0" in second
    for started in (first, second):
        assert {"--nnodes=2", "--rdzv-id=7.2.1-sft-smoke", f"--rdzv-endpoint={endpoint}"} <= set(started)
        # No rank is given: the rendezvous deals them out.
        assert not any(
            "rank" in word and not word.startswith("--nproc") for word in started if word.startswith("--")
        )


@pytest.mark.parametrize(("stage", "marks"), [("preflight", ["n2"]), ("sft", [])])
def test_a_host_that_comes_to_the_check_of_a_try_leaves_its_mark(
    settings: Path, tmp_path: Path, stage: str, marks: list[str]
) -> None:
    folder = tmp_path / "tries" / "7.2"
    folder.mkdir(parents=True)

    words(start(settings, stage, SMOKE, HERMES_TRY=str(folder), SLURMD_NODENAME="n2"))

    assert [path.name for path in folder.iterdir()] == marks


def test_a_host_that_is_not_fit_to_start_leaves_no_mark(settings: Path, tmp_path: Path) -> None:
    own = {"HERMES_TRY": str(tmp_path / "7.2"), "SLURMD_NODENAME": "n2", "HERMES_VENV": "/nowhere"}

    assert start(settings, "preflight", SMOKE, **own).returncode == 2
    assert not (tmp_path / "7.2").exists()


def test_empty_settings_are_none_and_the_process_own_win_over_the_file(settings: Path) -> None:
    own = {"HERMES_TIMEOUT_MINUTES": "0.5", "NCCL_SOCKET_IFNAME": "", "NCCL_IB_HCA": "mlx5_7"}
    found = variables(start(settings, "sft", SMOKE, **own))

    assert found["NCCL_IB_HCA"] == "mlx5_7"
    assert found["HERMES_TIMEOUT_MINUTES"] == "0.5"
    assert not {"NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "HF_HOME"} & set(found)


def test_a_container_sees_the_checkout_the_runs_and_the_folders_of_the_site(
    settings: Path, tmp_path: Path
) -> None:
    apptainer = tmp_path / "bin" / "apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text(SHOW)
    apptainer.chmod(0o755)
    (tmp_path / "image.sif").touch()
    (tmp_path / "disk").mkdir()
    (tmp_path / "hub").mkdir()
    with settings.open("a") as file:
        file.write(f"HERMES_CONTAINER={tmp_path}/image.sif\nHERMES_CONTAINER_BINDS=/scratch,/datasets\n")
        file.write(f"HERMES_LOCAL_CACHE={tmp_path}/disk\nHF_HOME={tmp_path}/hub\nTRITON_CACHE_DIR=/no/such\n")
    path = f"{apptainer.parent}:{os.environ['PATH']}"

    started = words(start(settings, "sft", SMOKE, "--runs", f"{tmp_path}/runs", PATH=path))

    assert started[:2] == ["exec", "--nv"]
    binds = started[started.index("--bind") + 1].split(",")
    seen = {str(ROOT), f"{tmp_path}/runs", f"{tmp_path}/disk", f"{tmp_path}/hub", "/scratch", "/datasets"}
    assert seen <= set(binds)
    assert "/no/such" not in binds
    inside = started[started.index(f"{tmp_path}/image.sif") :]
    assert inside[1:4] == ["python3", "-m", "torch.distributed.run"]


@pytest.mark.long
@pytest.mark.distributed
def test_a_signal_to_the_script_lets_its_ranks_save_and_end(runs: Path) -> None:
    command = [str(SCRIPT), "sft", SMOKE, "--runs", str(runs), "-o", "sft.steps=400"]
    own = {"HERMES_VENV": sys.prefix, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=os.environ | own, stdout=subprocess.DEVNULL)
    stage = runs / "smoke" / "sft"
    metrics = stage / "metrics.jsonl"
    # The file may be there before its first line.
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None, shlex.join(command)
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)

    assert process.wait(120) == 1
    end = StageLog(stage).end()
    assert end is not None and end.reason is EndReason.SIGNAL
    assert "stopped by SIGUSR1 after step" in end.text and "which is saved" in end.text
