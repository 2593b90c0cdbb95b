"""A real Slurm cluster on this machine: munge, one controller, and two nodes that are two daemons beside each other."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
PARTITION = "test"
GPU_PARTITION = "gpu"
"""Nodes with GPUs that are never there: Slurm answers whether a job could run on them."""
_START_SECONDS = 30.0
_NODES = ("n1", "n2")


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster; commands of Slurm reach it with `environment`."""

    folder: Path
    environment: Mapping[str, str]
    partition: str = PARTITION
    gpu_partition: str = GPU_PARTITION
    nodes: tuple[str, ...] = _NODES
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """Each node's slurmd."""

    def command(self, *arguments: str) -> str:
        """Run a command of Slurm and return what it prints. Raises CalledProcessError."""
        done = subprocess.run(
            arguments, env=dict(self.environment), capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def kill_node(self, node: str) -> None:
        """Kill a node's daemon, as a crash does: what runs on the node goes on, and Slurm loses sight of it."""
        self.daemons[node].kill()
        self.daemons[node].wait()

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        with (self.folder / f"slurmd-{node}.out").open("ab") as output:
            self.daemons[node] = subprocess.Popen(
                ["slurmd", "-D", "-N", node],
                env=dict(self.environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def missing_programs() -> list[str]:
    """The programs of the Debian packages slurm-wlm and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


@contextmanager
def running_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Start the daemons in `folder` and end them on leaving. Raises RuntimeError when they do not come up."""
    (folder / "state").mkdir(parents=True)
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    (folder / "slurm.conf").write_text(_configuration(folder))
    daemons: list[subprocess.Popen[bytes]] = []
    slurmds: dict[str, subprocess.Popen[bytes]] = {}

    def start(*command: str | Path) -> None:
        with (folder / f"{Path(command[0]).name}-{len(daemons)}.out").open("wb") as output:
            daemons.append(
                subprocess.Popen(
                    [str(part) for part in command], env=environment, stdout=output, stderr=subprocess.STDOUT
                )
            )

    try:
        start(*_munge_command(folder))
        _await(lambda: (folder / "munge.socket").is_socket(), folder, "munged")
        start("slurmctld", "-D", "-i")
        cluster = SlurmCluster(folder, environment, daemons=slurmds)
        for node in _NODES:
            cluster.start_node(node)
        _await(lambda: _idle_nodes(cluster) == len(_NODES), folder, "slurmctld and slurmd")
        yield cluster
    finally:
        daemons.extend(slurmds.values())
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _path() -> str:
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def _munge_command(folder: Path) -> list[str | Path]:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    # Munge asks for folders that nobody else may write to, all the way up; a temporary folder is not one.
    return [
        *("munged", "--foreground", "--force", "--key-file", key, "--socket", folder / "munge.socket"),
        *("--pid-file", folder / "munge.pid", "--log-file", folder / "munge.log"),
        *("--seed-file", folder / "munge.seed"),
    ]


def _configuration(folder: Path) -> str:
    """Return slurm.conf. A job that is put back waits for its credential to expire, and a node counts as lost after
    SlurmdTimeout: both in seconds here, in minutes by default."""
    host = socket.gethostname()
    controller, *ports = _free_ports(1 + len(_NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000 State=UNKNOWN"
        for node, port in zip(_NODES, ports, strict=True)
    )
    return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SlurmdTimeout=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
GresTypes=gpu
{nodes}
NodeName=g[1-24] CPUs=128 RealMemory=2000000 Gres=gpu:8 State=CLOUD
PartitionName={PARTITION} Nodes={",".join(_NODES)} Default=YES MaxTime=INFINITE State=UP
PartitionName={GPU_PARTITION} Nodes=g[1-24] MaxTime=7-00:00:00 State=UP
"""


def _free_ports(count: int) -> list[int]:
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _idle_nodes(cluster: SlurmCluster) -> int:
    try:
        states = cluster.command("sinfo", "--noheader", "--Node", "--format=%T")
    except subprocess.CalledProcessError:
        return 0
    return sum(state == "idle" for state in states.split())


def _await(is_up: Callable[[], bool], folder: Path, what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_up():
        if time.monotonic() > deadline:
            logs = "\n".join(
                f"== {log.name}\n{log.read_text()[-2000:]}" for log in sorted(folder.glob("*.[lo][ou][gt]"))
            )
            raise RuntimeError(f"{what} did not come up in {_START_SECONDS:g} s\n{logs}")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def running_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A cluster for all tests; they must leave no job behind."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"Slurm is not here ({', '.join(missing)}); install the packages slurm-wlm and munge")
    with running_cluster(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def slurm_cluster(running_slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    """The cluster, which this process and those that it starts can submit jobs to."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, running_slurm.environment[name])
    return running_slurm
