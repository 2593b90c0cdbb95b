"""Two ranks under ZeRO-3 that are killed, or asked to stop, give what the unbroken run gives."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hermes_train.training.torchrun import torchrun_command
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.signals import EXIT_STOPPED
from hermes_train.training.watch.stage_log import EndReason, StageLog

pytestmark = [pytest.mark.distributed, pytest.mark.long]

ROOT = Path(__file__).parents[2]
STEPS = 44
SETTINGS = ("-o", f"sft.steps={STEPS}", "-o", "sft.save_every=3")
KILLS = 10
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
}


class Ranks:
    """Two ranks that train SFT in a runs folder, started by the server."""

    def __init__(self, server):
        self._server = server
        self.processes = []

    def start(self, runs, *settings, slow_rank=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = ["sft", "recipes/smoke.yaml", "--runs", str(runs), *SETTINGS, *settings]
        self.processes = self._ask({"arguments": arguments, "port": port, "ranks": 2, "slow_rank": slow_rank})

    def wait(self):
        return self._ask({"wait": True})

    def signal(self, number):
        for process in self.processes:
            os.kill(process, number)

    def _ask(self, request):
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@pytest.fixture(scope="module")
def ranks():
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "rank_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    assert server.stdout.readline() == "ready\n"
    yield Ranks(server)
    server.stdin.close()
    server.wait(60)


@pytest.fixture(scope="module")
def unbroken(ranks, packed_runs, tmp_path_factory):
    """The stage's folder after two ranks have trained to the end, the second one slower all the while."""
    runs = tmp_path_factory.mktemp("unbroken") / "runs"
    shutil.copytree(packed_runs, runs)
    ranks.start(runs, slow_rank=1)
    assert ranks.wait() == [0, 0]
    return runs / "smoke" / "sft"


def losses(stage):
    return [(line["step"], line["loss"]) for line in read_metrics(stage / "metrics.jsonl")]


def steps_done(stage):
    return len(read_metrics(stage / "metrics.jsonl"))


def wait_for(condition, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "the moment never came"
        time.sleep(0.005)


def model_bytes(stage):
    return {path.name: path.read_bytes() for path in (stage / "model").glob("*.safetensors")}


def assert_same(stage, unbroken):
    assert losses(stage) == losses(unbroken)
    assert model_bytes(stage) == model_bytes(unbroken)


def test_a_rank_that_is_slower_than_the_other_is_named_with_its_host(unbroken):
    warnings = [line for line in (unbroken / "log.txt").read_text().splitlines() if " warning: " in line]

    assert any(f"rank 1 on {socket.gethostname()} computes" in line for line in warnings)
    assert not any("rank 0 on" in line for line in warnings)


def test_a_loss_that_is_no_number_stops_both_ranks_before_the_weights_are_spoiled(ranks, runs):
    ranks.start(runs, "-o", "sft.learning_rate=1e30", "-o", "sft.warmup_steps=0")

    assert ranks.wait() == [1, 1]
    end = StageLog(runs / "smoke" / "sft").end()
    assert end.reason is EndReason.LOSS
    assert re.match(r"stopped at step \d+: .*; the weights are as before that step", end.text)
    (stopped,) = (runs / "smoke" / "sft").glob("stopped_at_step_*.json")
    assert json.loads(stopped.read_text())["documents"]


def test_a_run_killed_ten_times_at_random_ends_as_the_unbroken_one(ranks, unbroken, runs):
    stage = runs / "smoke" / "sft"
    for number in range(KILLS):
        step = number * (STEPS - 6) // KILLS + random.randint(1, 6)
        ranks.start(runs)
        wait_for(lambda step=step: steps_done(stage) >= step)
        time.sleep(random.uniform(0, 0.1))
        ranks.signal(signal.SIGKILL)
        assert ranks.wait() == [-signal.SIGKILL, -signal.SIGKILL], f"kill {number} came too late"

    ranks.start(runs)

    assert ranks.wait() == [0, 0]
    assert_same(stage, unbroken)
    # A kill while the model is loaded may come before the log is opened.
    assert 0 < (stage / "log.txt").read_text().count(f"end ({EndReason.SILENT})") <= KILLS
    assert StageLog(stage).end().reason is EndReason.FINISHED


def stopped_step(stage):
    """The step that the log says was saved; the newest checkpoint must be that step's, and whole."""
    end = StageLog(stage).end()
    assert end.reason is EndReason.SIGNAL
    step = int(re.fullmatch(r"stopped by SIG\w+ after step (\d+), which is saved", end.text)[1])
    assert steps_done(stage) == step
    assert (stage / f"checkpoint-{step}" / "complete.json").exists()
    return step


def test_sigterm_to_torchrun_saves_at_that_step_and_the_rest_equals_the_unbroken_run(ranks, unbroken, runs):
    stage = runs / "smoke" / "sft"
    command = ["-m", "hermes_train", "sft", "recipes/smoke.yaml", "--runs", str(runs), *SETTINGS]
    launcher = subprocess.Popen([*torchrun_command(2), *command], cwd=ROOT, env=ENVIRONMENT)
    wait_for(lambda: steps_done(stage) >= 4)

    launcher.send_signal(signal.SIGTERM)

    assert launcher.wait(60) != 0
    assert 4 <= stopped_step(stage) < STEPS
    ranks.start(runs)
    assert ranks.wait() == [0, 0]
    assert_same(stage, unbroken)


RUN_ON_RANKS = """
import sys
from pathlib import Path
from hermes_train import cli
from hermes_train.training.watch.signals import stop_signals
from hermes_train.training.torchrun import run_on_ranks

def run():
    with stop_signals():
        run_on_ranks(2, ["hermes_train", *sys.argv[2:]], Path(sys.argv[1]))

cli.app = run
cli.main()
"""


def test_sigusr1_to_a_run_reaches_its_ranks_even_when_torchrun_gets_it_too(ranks, unbroken, runs):
    """As Slurm does it: to every process of the step at once."""
    stage = runs / "smoke" / "sft"
    arguments = [str(stage), "sft", "recipes/smoke.yaml", "--runs", str(runs), *SETTINGS]
    run = subprocess.Popen([sys.executable, "-c", RUN_ON_RANKS, *arguments], cwd=ROOT, env=ENVIRONMENT)
    wait_for(lambda: steps_done(stage) >= 4)

    for process in [run.pid, *(child.pid for child in psutil.Process(run.pid).children())]:
        os.kill(process, signal.SIGUSR1)

    assert run.wait(60) == EXIT_STOPPED
    assert 4 <= stopped_step(stage) < STEPS
    ranks.start(runs)
    assert ranks.wait() == [0, 0]
    assert_same(stage, unbroken)
