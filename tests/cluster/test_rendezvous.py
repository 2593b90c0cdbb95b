"""Where hosts meet, and when one of them has nobody left to meet."""

from __future__ import annotations

import socket

import pytest

from data_filters.errors import UserError
from hermes_train.cluster.host_agent import answers, wait_until_cut_off
from hermes_train.cluster.rendezvous import Endpoint, is_host, meeting, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("node1:29500", Endpoint("node1", 29500)),
        ("10.0.0.7:1", Endpoint("10.0.0.7", 1)),
        ("[fe80::7]:29500", Endpoint("fe80::7", 29500)),
    ],
)
def test_a_rendezvous_is_a_host_and_a_port(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "node1", "node1:", ":29500", "node1:x", "node1:0", "node1:65536", "node1:-1"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write a host and a port of it"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("address", "environment", "expected"),
    [
        ("127.0.1.1", {}, True),
        ("192.0.2.1", {}, False),
        # Two nodes of a job that are one machine: the address does not tell which is the first.
        ("127.0.0.1", {"SLURM_NODEID": "0"}, True),
        ("127.0.0.1", {"SLURM_NODEID": "1"}, False),
    ],
)
def test_the_host_of_the_rendezvous_is_known_by_its_address_or_as_the_first_of_its_job(
    address: str, environment: dict[str, str], expected: bool
) -> None:
    assert is_host(Endpoint("node1", 29500), address, environment) is expected


def test_a_job_whose_first_node_is_not_the_host_of_the_rendezvous_is_refused() -> None:
    with pytest.raises(UserError, match=r"is not a place on .*, the first node of the job"):
        is_host(Endpoint("192.0.2.1", 29500), "192.0.2.1", {"SLURM_NODEID": "0"})


def test_a_host_tells_the_others_the_way_it_came_by() -> None:
    with socket.create_server(("127.0.0.1", 0)) as rendezvous:
        found = meeting(Endpoint("127.0.0.1", rendezvous.getsockname()[1]), {"SLURM_NODEID": "1"})

    assert found.torchrun_words() == ["--rdzv-conf=is_host=0", "--local-addr=127.0.0.1"]
    # Others cannot come to the loopback; gloo is left to choose.
    assert found.interface == ""


def test_a_refusal_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as rendezvous:
        endpoint = Endpoint("127.0.0.1", rendezvous.getsockname()[1])
        assert answers(endpoint)
    assert answers(endpoint)


@pytest.mark.parametrize(
    ("ranks", "answering", "looks"),
    [
        # It answers all the while the others are waited for, then falls silent.
        ("0000", "1100", 4),
        # Ranks are left alone, however long it is silent: their collectives have a limit of their own.
        ("1111000", "0000000", 6),
        # One answer that is lost is not the end.
        ("00000", "01000", 4),
    ],
)
def test_torchrun_is_ended_when_no_rank_is_left_and_the_rendezvous_is_silent(
    ranks: str, answering: str, looks: int
) -> None:
    asked: list[int] = []

    def has_ranks() -> bool:
        asked.append(len(asked))
        return ranks[asked[-1]] == "1"

    wait_until_cut_off(has_ranks, lambda: answering[asked[-1]] == "1", 0)

    assert len(asked) == looks
