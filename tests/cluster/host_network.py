"""Hosts with names and addresses of their own: network namespaces, each with a cable to one switch.

They share all files. The machine's own network is left alone: the switch is a namespace too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class HostNetwork:
    """Hosts 1, 2, ..., named h1, h2, ..., which know each other by these names."""

    prefix: str
    count: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self, host: int, command: list[str], output: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start a command on a host; what it says goes to a file."""
        with output.open("w") as file:
            process = subprocess.Popen(
                [*self.enter(host), *command],
                env={**os.environ, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.started.append(process)
        return process

    def enter(self, host: int, first: str = "true") -> list[str]:
        """The start of a command that runs on a host, after a command of the shell that changes what it sees."""
        named = f'hostname "$0" && {first} && exec "$@"'
        return [
            *_ip("netns", "exec", f"{self.prefix}{host}"),
            "unshare",
            "--uts",
            "sh",
            "-c",
            named,
            f"h{host}",
        ]

    def slow_down(self, host: int, rate: str) -> None:
        """Let a host send no faster."""
        shape = ("root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms")
        command = [shutil.which("tc", path=_PATH) or "tc", "-n", f"{self.prefix}{host}"]
        subprocess.run([*command, "qdisc", "add", "dev", "eth0", *shape], check=True, capture_output=True)

    def cut(self, host: int) -> None:
        """Pull the host's cable: from then on nothing comes from it, not even a reset."""
        self._switch("link", "set", f"port{host}", "down")

    def mend(self, host: int) -> None:
        """Plug the cable in again."""
        self._switch("link", "set", f"port{host}", "up")

    def _switch(self, *words: str) -> None:
        subprocess.run(_ip("-n", f"{self.prefix}switch", *words), check=True, capture_output=True)


def missing() -> str | None:
    """Say why there can be no such hosts here, or None."""
    if shutil.which("ip", path=_PATH) is None:
        return "there is no command ip; install the package iproute2"
    probe = subprocess.run(
        ["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, text=True, check=False
    )
    return None if probe.returncode == 0 else f"network namespaces need root: {probe.stderr.strip()}"


@contextmanager
def host_network(count: int) -> Iterator[HostNetwork]:
    """Make the hosts, and take them away at the end with all that still runs on them."""
    network = HostNetwork(f"hermes{os.getpid()}-", count)
    switch, names = f"{network.prefix}switch", [f"{network.prefix}{host + 1}" for host in range(count)]
    known = "127.0.0.1 localhost\n" + "".join(f"10.77.0.{host + 1} h{host + 1}\n" for host in range(count))
    try:
        _run("netns", "add", switch)
        _run("-n", switch, "link", "add", "bridge", "type", "bridge")
        _run("-n", switch, "link", "set", "bridge", "up")
        for host, name in enumerate(names, start=1):
            # `ip netns exec` lays this file over the machine's own.
            hosts_file = Path("/etc/netns") / name / "hosts"
            hosts_file.parent.mkdir(parents=True)
            hosts_file.write_text(known)
            _run("netns", "add", name)
            _run(
                "-n",
                name,
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                f"port{host}",
                "netns",
                switch,
            )
            _run("-n", switch, "link", "set", f"port{host}", "master", "bridge", "up")
            _run("-n", name, "addr", "add", f"10.77.0.{host}/24", "dev", "eth0")
            _run("-n", name, "link", "set", "eth0", "up")
            _run("-n", name, "link", "set", "lo", "up")
        yield network
    finally:
        for name in names:
            for process in subprocess.run(
                _ip("netns", "pids", name), capture_output=True, check=False
            ).stdout.split():
                subprocess.run(["kill", "-9", process.decode()], check=False, capture_output=True)
            subprocess.run(_ip("netns", "del", name), check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)
        subprocess.run(_ip("netns", "del", switch), check=False, capture_output=True)
        for process in network.started:
            process.wait()


_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def _ip(*words: str) -> list[str]:
    return [shutil.which("ip", path=_PATH) or "ip", *words]


def _run(*words: str) -> None:
    subprocess.run(_ip(*words), check=True, capture_output=True)
