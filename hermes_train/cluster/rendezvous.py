"""Where the hosts of a training stage meet: what each host's torchrun has to be told of it.

    python -m hermes_train.cluster.rendezvous node1:29500

prints the network interface that leads there, then one word for torchrun on each line:

    eth0
    --rdzv-conf=is_host=0
    --local-addr=10.0.0.7

Left to themselves, torchrun and gloo ask the host's own name whether this is the host of the rendezvous and by which
address others reach it. That goes wrong where the name stands for the loopback address, for a network that the others
are not on, or where several hosts bear one name.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from data_filters.errors import UserError

VARIABLE = "HERMES_RENDEZVOUS"

_LOOK_SECONDS = 1.0
_TELL_SECONDS = 30.0
_PATIENCE_SECONDS = 600
"""As long as torchrun waits for the other hosts, once it has found the rendezvous."""


@dataclass(frozen=True)
class Meeting:
    """What one host has to know to meet the others."""

    is_host: bool
    local_address: str
    """The name or address by which the others reach this host."""
    interface: str
    """The network interface of that address; empty where it is the loopback, or this machine does not tell."""

    def torchrun_words(self) -> list[str]:
        """Return what torchrun is told."""
        return [f"--rdzv-conf=is_host={int(self.is_host)}", f"--local-addr={self.local_address}"]


@dataclass(frozen=True)
class Endpoint:
    """One of the hosts, by a name or an address that all of them know, and a port of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that `text` names, such as node1:29500. Raises UserError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise UserError(f"{VARIABLE}={text}: write a host and a port of it (1 to 65535), such as node1:29500")
    return Endpoint(host.strip("[]"), int(port))


def meeting(endpoint: Endpoint, environment: Mapping[str, str]) -> Meeting:
    """Return how this host comes to the endpoint. Raises UserError where the hosts could not meet there."""
    address = _resolved(endpoint)
    if is_host(endpoint, address, environment):
        require_free(endpoint)
        # The name that the others know, for its address may be the loopback here.
        return Meeting(True, endpoint.host, _interface(address))
    own = _own_address(endpoint, address)
    _await_host(endpoint)
    return Meeting(False, own, _interface(own))


def is_here(endpoint: Endpoint) -> bool:
    """Say whether the endpoint is on this machine. Raises UserError for a host that is not known here."""
    return is_host(endpoint, _resolved(endpoint), {})


def is_host(endpoint: Endpoint, address: str, environment: Mapping[str, str]) -> bool:
    """Say whether this is the host of the rendezvous, which has `address`. Raises UserError where none can be.

    In a Slurm job it is the first node. Where several nodes are one machine, the address alone does not tell.
    """
    is_local = _is_of_this_machine(address)
    node = environment.get("SLURM_NODEID")
    if node is None:
        if is_local and (
            endpoint.host == "localhost" or (endpoint.host == address and _is_loopback(address))
        ):
            raise UserError(
                f"{VARIABLE}={endpoint}: on every host that is the host itself; give the name or address by which "
                "the others reach it"
            )
        return is_local
    if node == "0" and not is_local:
        raise UserError(
            f"{VARIABLE}={endpoint} is not a place on {socket.gethostname()}, the first node of the job; the hosts "
            "of a job meet there"
        )
    return node == "0"


def _resolved(endpoint: Endpoint) -> str:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise UserError(
            f"{VARIABLE}={endpoint}: {socket.gethostname()} knows no host {endpoint.host} ({error.strerror}); give a "
            "name or an address that every host knows"
        ) from error
    return str(found[0][4][0])


def _is_of_this_machine(address: str) -> bool:
    own = {known.address for addresses in psutil.net_if_addrs().values() for known in addresses}
    return address in own or _is_loopback(address)


def _interface(address: str) -> str:
    if _is_loopback(address):
        return ""
    known = psutil.net_if_addrs().items()
    return next((name for name, addresses in known if address in {one.address for one in addresses}), "")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _own_address(endpoint: Endpoint, address: str) -> str:
    """Return this host's address on the way to `address`. Raises UserError where no way leads there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the kernel only chooses the way.
            probe.connect((address, endpoint.port))
        except OSError as error:
            raise UserError(
                f"{VARIABLE}={endpoint}: no way leads from {socket.gethostname()} to {address} ({error.strerror})"
            ) from error
        return str(probe.getsockname()[0])


def _await_host(endpoint: Endpoint) -> None:
    """Return when the rendezvous is there. Raises UserError where it does not come.

    torchrun would give up after a minute; a command that is started by hand on many hosts takes longer.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    told_at = -_TELL_SECONDS
    while True:
        try:
            socket.create_connection((endpoint.host, endpoint.port), _LOOK_SECONDS).close()
            return
        except OSError as error:
            now = time.monotonic()
            if now > deadline:
                raise UserError(
                    f"{VARIABLE}={endpoint}: nobody was there for {_PATIENCE_SECONDS // 60} minutes ({error}); start "
                    "the same command on that host, and let no firewall stand between"
                ) from error
            if now - told_at > _TELL_SECONDS:
                sys.stderr.write(f"{socket.gethostname()} waits for {endpoint} ({error})\n")
                told_at = now
        time.sleep(_LOOK_SECONDS)


def require_free(endpoint: Endpoint) -> None:
    """Raise UserError where another process listens on the port: hosts that come to it would meet nobody."""
    with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
        # As the rendezvous does it: connections of an earlier one that are closing are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", endpoint.port))
            probe.listen()
        except OSError as error:
            raise UserError(
                f"{VARIABLE}={endpoint}: the port {endpoint.port} of {socket.gethostname()} is taken "
                f"({error.strerror}), perhaps by an earlier run; `ss -ltnp sport = :{endpoint.port}` names the "
                "process: end it, or choose another port on every host"
            ) from error


def main() -> None:
    """Print the interface and the words for torchrun, one a line; what is wrong ends in one line with code 2."""
    try:
        found = meeting(parse_endpoint(sys.argv[1]), os.environ)
        sys.stdout.write("\n".join([found.interface, *found.torchrun_words()]) + "\n")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
