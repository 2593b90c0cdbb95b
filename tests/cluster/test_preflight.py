"""The check before training, on hosts that are network namespaces of this machine, with names, clocks, folders and
software of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hermes_train import __version__

sys.path.append(str(Path(__file__).parent))

from host_network import HostNetwork, host_network, missing

ROOT = Path(__file__).parents[2]
PORT = 29611
AHEAD_SECONDS = 5
pytestmark = [pytest.mark.long, pytest.mark.distributed]

SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += AHEAD_SECONDS;
    return code;
}
"""
"""The C library's clock, ahead of the machine's: the kernel knows no clock of the day that differs by process."""


@dataclass(frozen=True)
class Change:
    """In what a host differs from the others."""

    folder: Path = ROOT
    """Where its hermes-train lies."""
    overrides: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """What came of a check."""

    codes: list[int]
    record: dict[str, Any]
    output: dict[str, str]
    errors: dict[str, str]
    """What each host wrote to stdout and stderr."""

    def said_of(self, host: str) -> str:
        """Problems and warnings of a host, a line each."""
        [found] = [found for found in self.record["hosts"] if found["host"] == host]
        return "\n".join([*found["problems"], *found["warnings"]])


def check(
    starts: Mapping[str, Sequence[str]],
    recipe: Path,
    runs: Path,
    ranks: int,
    options: Sequence[str] = (),
    changes: Mapping[str, Change] | None = None,
    meanwhile: Callable[[Ranks], None] = lambda ranks: None,
) -> Checked:
    """Start a check on all hosts, do something `meanwhile`, and wait for its end.

    `starts`: the beginnings of the commands that run on hosts, by their names.
    """
    started = []
    for host, start in starts.items():
        change = (changes or {}).get(host, Change())
        settings = {
            "HERMES_NODES": str(len(starts)),
            "HERMES_RANKS_PER_NODE": str(ranks),
            # By its address: torchrun deals out ranks in the order of addresses, and the first host's output is read.
            "HERMES_RENDEZVOUS": f"10.77.0.1:{PORT}",
            "HERMES_VENV": sys.prefix,
        }
        words = [*(ROOT / "launch" / "torchrun.sh", "preflight", recipe, "--runs", runs), *options]
        words += [word for override in change.overrides for word in ("-o", override)]
        started.append(
            subprocess.Popen(
                [*start, *map(str, words)],
                cwd=change.folder,
                env=os.environ | settings | change.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        meanwhile(Ranks(runs / "smoke" / "jobs" / "preflight"))
        told = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            _kill(process)
    [record] = runs.glob("smoke/jobs/preflight/*/preflight.json")
    return Checked(
        codes=[process.returncode for process in started],
        record=json.loads(record.read_text()),
        output={host: output for host, (output, _) in zip(starts, told, strict=True)},
        errors={host: errors for host, (_, errors) in zip(starts, told, strict=True)},
    )


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            child.kill()
        process.wait()


@pytest.fixture(scope="module")
def network() -> Iterator[HostNetwork]:
    """Three hosts, of which the third sends slowly."""
    if reason := missing():
        pytest.skip(reason)
    with host_network(3) as made:
        # A machine at its limits makes the others slow as well, though not as slow as this.
        made.slow_down(3, "250mbit")
        yield made


@pytest.fixture(scope="module")
def two_hosts(network: HostNetwork) -> dict[str, list[str]]:
    return {f"h{host}": network.enter(host) for host in (1, 2)}


@pytest.fixture(scope="module")
def healthy(
    two_hosts: dict[str, list[str]], smoke: Path, tmp_path_factory: pytest.TempPathFactory
) -> Checked:
    """A check of two hosts with two ranks each that have nothing wrong."""
    options = ["-o", "cluster.nodes=2", "-o", "cluster.gpus_per_node=2"]
    return check(two_hosts, smoke, tmp_path_factory.mktemp("healthy"), 2, options)


def test_hosts_that_agree_are_fit(healthy):
    assert healthy.codes == [0, 0], healthy.errors
    assert healthy.record["outcome"] == "fit"
    assert (healthy.record["ranks"], [host["host"] for host in healthy.record["hosts"]]) == (4, ["h1", "h2"])


def test_what_was_measured_is_shown(healthy):
    for host in healthy.record["hosts"]:
        assert abs(host["clock_offset"]) < 0.5
        assert host["between"] > 0.01
        assert host["within"] > 0.01
    assert "fit: 2 hosts, 4 ranks, checked in" in healthy.output["h1"]


@pytest.fixture(scope="module")
def odd_ones(network: HostNetwork, smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """A check of three hosts of which only the first has nothing wrong."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "runs").mkdir()
    changes = {
        "h2": Change(
            folder=_copy_of_another_version(folder),
            overrides=["sft.learning_rate=1e-5"],
            environment={
                "HERMES_LOCAL_CACHE": "/nowhere/at/all",
                "LD_PRELOAD": str(_shifted_clock(folder)),
                "NCCL_DEBUG": "INFO",
            },
        ),
    }
    starts = {f"h{host}": network.enter(host) for host in (1, 2)}
    # Whatever the path says, the third has a folder of its own there.
    starts["h3"] = network.enter(3, f"mount -t tmpfs none {folder}/runs")
    return check(starts, smoke, folder / "runs", 1, ["-o", "cluster.nodes=3"], changes)


def _copy_of_another_version(folder: Path) -> Path:
    for package in ("hermes_train", "data_filters"):
        shutil.copytree(ROOT / package, folder / "other" / package)
    initial = folder / "other" / "hermes_train" / "__init__.py"
    text = initial.read_text()
    assert __version__ in text
    initial.write_text(text.replace(__version__, "0.0.1"))
    return folder / "other"


def _shifted_clock(folder: Path) -> Path:
    (folder / "clock.c").write_text(SHIFTED_CLOCK)
    library = folder / "clock.so"
    flags = ["-shared", "-fPIC", f"-DAHEAD_SECONDS={AHEAD_SECONDS}"]
    subprocess.run(["cc", *flags, "-o", library, folder / "clock.c", "-ldl"], check=True)
    return library


def test_a_host_that_is_not_fit_ends_the_check_with_1_on_all(odd_ones):
    assert odd_ones.codes == [1, 1, 1]
    assert odd_ones.record["outcome"] == "unfit"
    assert odd_ones.said_of("h1") == ""


def test_each_host_that_is_not_fit_is_told_in_one_line(odd_ones):
    lines = [line for line in odd_ones.errors["h1"].splitlines() if line.startswith("error: ")]

    assert [line.split(":")[1].strip() for line in lines] == ["h2", "h3"]


def test_another_version_of_the_code_is_named_with_its_host(odd_ones):
    said = odd_ones.said_of("h2")

    assert f"hermes-train 0.0.1; the others have {__version__}" in said
    assert "other/hermes_train differ from those of the others" in said


def test_another_recipe_is_named_by_the_key_that_differs(odd_ones):
    assert "sft.learning_rate is 1e-05 (others: 0.0003)" in odd_ones.said_of("h2")


def test_a_local_cache_that_is_not_there_is_named(odd_ones):
    assert "HERMES_LOCAL_CACHE: cannot write in /nowhere/at/all" in odd_ones.said_of("h2")


def test_a_host_with_a_run_folder_of_its_own_is_named(odd_ones):
    assert "does not share the run's folder" in odd_ones.said_of("h3")
    assert "(tmpfs)" in odd_ones.said_of("h3")


def test_a_clock_that_is_ahead_is_named_with_its_seconds(odd_ones):
    [seconds] = re.findall(r"its clock is (\S+) s ahead", odd_ones.said_of("h2"))
    # As exact as a busy machine answers.
    assert abs(float(seconds) - AHEAD_SECONDS) < 0.3


def test_variables_that_change_results_are_compared(odd_ones):
    assert "NCCL_DEBUG is INFO (others: not set)" in odd_ones.said_of("h2")


def test_a_slow_host_is_named_by_comparison(odd_ones):
    assert "GB/s with other hosts; the median of the hosts is" in odd_ones.said_of("h3")
    assert "GB/s with" not in odd_ones.said_of("h2")


@dataclass(frozen=True)
class Ranks:
    """What the ranks of a check that is under way have written."""

    folder: Path

    def process(self, rank: int) -> int:
        """Return a rank's process as soon as it has told its first phase."""
        return int(self._file(rank, lambda told: True)["process"])

    def await_phase(self, rank: int, phase: str) -> None:
        """Return when a rank has told that it is there."""
        self._file(rank, lambda told: told["phase"] == phase)

    def await_record(self) -> None:
        """Return when the check has told what it found."""
        _await(lambda: [*self.folder.glob("*/preflight.json")])

    def _file(self, rank: int, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            told = [json.loads(path.read_text()) for path in self.folder.glob(f"*/*-{rank}.json")]
            return [value for value in told if is_wanted(value)]

        return _await(found)[0]


def _await(found: Callable[[], list[Any]]) -> list[Any]:
    deadline = time.monotonic() + 120
    while not (values := found()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return values


def test_a_rank_that_hangs_before_it_checks_in_is_named_with_its_host(two_hosts, smoke, tmp_path):
    def stop(ranks: Ranks) -> None:
        process = ranks.process(1)
        os.kill(process, signal.SIGSTOP)
        ranks.await_record()
        os.kill(process, signal.SIGKILL)

    checked = check(
        two_hosts, smoke, tmp_path, 1, ["-o", "cluster.nodes=2", "--patience", "6"], meanwhile=stop
    )

    assert 0 not in checked.codes
    assert checked.said_of("h1") == ""
    assert "rank 1 did not check in (process" in checked.said_of("h2")
    assert checked.record["unchecked"] == ["bandwidth: not every rank came"]


def test_a_rank_that_dies_is_named_although_torchrun_ends_the_others(smoke, tmp_path):
    def kill(ranks: Ranks) -> None:
        process = ranks.process(1)
        # Dead while the first rank is still loading, it would be torchrun's to tell.
        os.kill(process, signal.SIGSTOP)
        ranks.await_phase(0, "meeting the others")
        os.kill(process, signal.SIGKILL)

    here = socket.gethostname()
    checked = check({here: []}, smoke, tmp_path, 2, ["-o", "cluster.gpus_per_node=2"], meanwhile=kill)

    assert checked.codes == [1]
    assert "rank 1 did not check in (process" in checked.said_of(here)
    assert checked.record["problems"] == ["stopped by SIGTERM before the check was done"]


def test_a_rank_that_cannot_reach_the_first_says_so_in_a_line(hermes_train, smoke, tmp_path):
    place = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }

    done = hermes_train("preflight", smoke, "--runs", tmp_path, "--patience", "2", **place)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: rank 1 on ")
    assert "has lost the host of rank 0, or never reached it" in line


@pytest.mark.gpu
def test_gpus_are_found_free_and_measured_over_nccl(smoke, tmp_path):
    import torch

    number = torch.cuda.device_count()
    model = re.search(r"[ABH]\d00", torch.cuda.get_device_name()).group().lower()
    options = ["-o", f"cluster.gpus_per_node={number}", "-o", f"cluster.gpu={model}"]

    checked = check({socket.gethostname(): []}, smoke, tmp_path, number, options)

    [found] = checked.record["hosts"]
    assert checked.codes == [0], checked.errors
    assert found["gpus"] == f"{number} x {torch.cuda.get_device_name()}"
    assert number == 1 or found["within"] > 1
