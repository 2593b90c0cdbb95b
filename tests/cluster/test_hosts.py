"""Runs on hosts without Slurm: three of them, with names and addresses of their own, under torchrun."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

sys.path.append(str(Path(__file__).parent))

from host_network import HostNetwork, host_network, missing

ROOT = Path(__file__).parents[2]
HERMES_TRAIN = [sys.executable, "-m", "hermes_train"]
OPTIONS = [
    *("-o", "sft.global_batch=3", "-o", "hybrid.global_batch=3", "-o", "dpo.global_batch=3"),
    *("-o", "sft.steps=30", "-o", "sft.save_every=10", "-o", "cluster.nodes=3"),
]
TIMEOUT_SECONDS = 15
"""Longer than a rank of a busy machine takes for its first step after the others have taken theirs."""
LAUNCH = [*HERMES_TRAIN, "launch", str(ROOT / "recipes" / "smoke.yaml"), "--cluster", "torchrun"]
WAIT_SECONDS = 600
HOSTS = (1, 2, 3)
pytestmark = [pytest.mark.distributed, pytest.mark.long]


@dataclass(frozen=True)
class Ended:
    """What became of a command on three hosts: by host its code, its output and how long it ran after the cut."""

    runs: Path
    codes: dict[int, int]
    outputs: dict[int, str]
    seconds: dict[int, float]
    left: list[str]

    def losses(self) -> dict[int, float]:
        """The loss of each step."""
        lines = (self.runs / "smoke" / "sft" / "metrics.jsonl").read_text().splitlines()
        return {line["step"]: line["loss"] for line in map(json.loads, lines)}

    def log(self) -> str:
        """The log of the training."""
        return (self.runs / "smoke" / "sft" / "log.txt").read_text()


@pytest.fixture(scope="module")
def network() -> Iterator[HostNetwork]:
    """Three hosts on one switch."""
    if reason := missing():
        pytest.skip(reason)
    with host_network(len(HOSTS)) as made:
        yield made


def start_all(
    network: HostNetwork,
    command: list[str],
    runs: Path,
    port: int,
    hosts: tuple[int, ...] = HOSTS,
    **more: str,
) -> dict[int, subprocess.Popen[str]]:
    """Start one command on hosts, as their user does."""
    environment = {
        "HERMES_NODES": "3",
        "HERMES_RENDEZVOUS": f"h1:{port}",
        "HERMES_VENV": sys.prefix,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        **more,
    }
    return {host: network.start(host, command, runs / f"h{host}.out", environment) for host in hosts}


def await_all(processes: dict[int, subprocess.Popen[str]], runs: Path) -> Ended:
    """Wait until the commands have ended."""
    began = time.monotonic()
    seconds: dict[int, float] = {}
    while len(seconds) < len(processes) and time.monotonic() - began < WAIT_SECONDS:
        for host, process in processes.items():
            if process.poll() is not None:
                seconds.setdefault(host, time.monotonic() - began)
        time.sleep(0.05)
    left = [
        " ".join(found)
        for process in psutil.process_iter()
        if (found := words_of(process)) and str(runs) in found
    ]
    return Ended(
        runs,
        {host: process.returncode for host, process in processes.items()},
        {host: (runs / f"h{host}.out").read_text() for host in HOSTS},
        seconds,
        left,
    )


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def unbroken(network: HostNetwork, packed_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run whose packs are not made yet, launched on every host until its sft is."""
    runs = tmp_path_factory.mktemp("unbroken")
    shutil.copytree(packed_runs, runs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("pack"))
    command = [*LAUNCH, "--until", "sft", "--runs", str(runs), *OPTIONS]
    return await_all(start_all(network, command, runs, 29401), runs)


def training(runs: Path) -> list[str]:
    """The command that trains on every host."""
    script, recipe = str(ROOT / "launch" / "torchrun.sh"), str(ROOT / "recipes" / "smoke.yaml")
    return [script, "sft", recipe, "--runs", str(runs), *OPTIONS]


@pytest.fixture(scope="module")
def cut_off(network: HostNetwork, unbroken: Ended, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same training, whose host of the rendezvous is cut off after a save."""
    runs = tmp_path_factory.mktemp("broken")
    made = unbroken.runs / "smoke"

    def trained(folder: str, names: list[str]) -> set[str]:
        return {"sft", "jobs"} if Path(folder) == made else set()

    shutil.copytree(made, runs / "smoke", ignore=trained)
    minutes = str(TIMEOUT_SECONDS / 60)
    processes = start_all(network, training(runs), runs, 29402, HERMES_TIMEOUT_MINUTES=minutes)
    metrics = runs / "smoke" / "sft" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 12:
        assert all(process.poll() is None for process in processes.values()), (runs / "h1.out").read_text()
        time.sleep(0.05)
    network.cut(1)
    ended = await_all(processes, runs)
    network.mend(1)
    return ended


@pytest.fixture(scope="module")
def resumed(network: HostNetwork, cut_off: Ended) -> Ended:
    """The training that was broken, started again on every host."""
    return await_all(start_all(network, training(cut_off.runs), cut_off.runs, 29403), cut_off.runs)


def test_the_first_of_three_hosts_makes_the_packs_and_all_of_them_train(unbroken: Ended) -> None:
    assert unbroken.codes == {1: 0, 2: 0, 3: 0}, unbroken.outputs
    assert "start: sft on 3 ranks" in unbroken.log()
    assert sorted(unbroken.losses()) == list(range(1, 31))
    made = {host: "launch/stage.sh pack" in output for host, output in unbroken.outputs.items()}
    assert made == {1: True, 2: False, 3: False}


def test_the_hosts_are_checked_together_before_they_train(unbroken: Ended) -> None:
    [found] = unbroken.runs.glob("smoke/jobs/preflight/*/preflight.json")
    record = json.loads(found.read_text())

    assert (record["outcome"], record["ranks"]) == ("fit", 3), record
    assert sorted(host["host"] for host in record["hosts"]) == ["h1", "h2", "h3"]
    assert found.stat().st_mtime < (unbroken.runs / "smoke" / "sft" / "metrics.jsonl").stat().st_mtime


def test_hosts_that_lose_the_one_of_the_rendezvous_end_within_the_timeout(cut_off: Ended) -> None:
    assert all(code not in (0, None) for code in cut_off.codes.values()), cut_off.codes
    # Their collectives take the timeout, then torchrun asks the lost host in vain.
    assert max(cut_off.seconds.values()) < TIMEOUT_SECONDS + 45
    assert cut_off.left == []


def test_the_log_and_the_hosts_say_that_another_was_lost(cut_off: Ended) -> None:
    last = cut_off.log().splitlines()[-1]
    # Which of them tells it first is chance; its sockets closed, the others hear of it.
    assert "end (rank_lost): rank" in last
    assert "Timed out" in last or "Connection" in last
    for host in (2, 3):
        assert "the host of the rendezvous, h1:29402, does not answer any more" in cut_off.outputs[host]


def test_started_again_the_hosts_go_on_from_the_save_to_the_losses_of_an_unbroken_run(
    unbroken: Ended, resumed: Ended
) -> None:
    assert resumed.codes == {1: 0, 2: 0, 3: 0}, resumed.outputs
    assert "resume: sft goes on after step 10" in resumed.log()
    assert resumed.losses() == unbroken.losses()


def test_a_host_that_is_not_fit_is_told_and_does_not_train(runs: Path) -> None:
    command = [*LAUNCH, "--until", "sft", "--runs", str(runs)]
    own = {"PYTHONPATH": str(ROOT), "HERMES_VENV": sys.prefix, "HERMES_LOCAL_CACHE": "/nowhere/at/all"}
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    told = f"not fit for training: {socket.gethostname()}: HERMES_LOCAL_CACHE: cannot write in /nowhere"
    assert told in done.stderr
    assert not (runs / "smoke" / "sft").exists()


def test_one_host_makes_stage_after_stage_by_the_commands_that_a_dry_run_prints(tmp_path: Path) -> None:
    command = [*LAUNCH, "--until", "prepare", "--runs", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HERMES_VENV": sys.prefix}

    def run(*more: str) -> str:
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = run("--dry-run")
    assert not (tmp_path / "smoke").exists()
    started = run()

    (line,) = [line for line in printed.splitlines() if "stage.sh" in line]
    assert f"prepare: {line}" in started
    assert (tmp_path / "smoke" / "prepare" / "manifest.json").exists()
    assert "every stage up to prepare is done" in run()


@pytest.mark.parametrize("recipe", sorted(path.name for path in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_is_printed_for_the_first_host_and_for_the_others(recipe: str, tmp_path: Path) -> None:
    command = [*HERMES_TRAIN, "launch", str(ROOT / "recipes" / recipe), "--cluster", "torchrun", "--dry-run"]
    environment = os.environ | {"HERMES_RENDEZVOUS": "node1:29500", "PYTHONPATH": str(ROOT)}
    # One recipe reads files that its user has to get first.
    (tmp_path / "data").mkdir()
    for part in ("train", "test"):
        (tmp_path / "data" / f"gsm8k_{part}.jsonl").touch()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shellcheck = [str(Path(sys.executable).parent / "shellcheck"), "-"]
    checked = subprocess.run(shellcheck, input=done.stdout, capture_output=True, text=True, check=False)

    assert checked.stdout == ""
    # A recipe for several hosts trains on the first and on the others.
    assert done.stdout.count("launch/torchrun.sh sft") == (2 if "HERMES_RENDEZVOUS" in done.stdout else 1)


HELD_PORT = """
import socket, subprocess, sys
with socket.socket() as stale:
    stale.bind(("", int(sys.argv[1])))
    stale.listen()
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
"""


def test_a_port_that_is_taken_is_told_before_anything_is_made(network: HostNetwork, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD_PORT, "29409", *LAUNCH, "--runs", str(tmp_path), *OPTIONS]

    first = start_all(network, command, tmp_path, 29409, hosts=(1,))[1]

    assert first.wait(60) == 2
    assert "the port 29409 of " in (told := (tmp_path / "h1.out").read_text()) and "is taken" in told
    assert not (tmp_path / "smoke" / "prepare").exists()
