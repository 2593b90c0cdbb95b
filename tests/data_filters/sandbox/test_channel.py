"""Messages over a socket, cut into any parts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.sandbox.channel import Channel, framed


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """The far end of a line, and a channel at the near one."""
    far, near = socket.socketpair()
    with far, near:
        yield far, Channel(near.fileno())


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_messages_arrive_whole_however_they_are_cut(messages: list[bytes], part: int) -> None:
    far, near = socket.socketpair()
    with far, near:
        stream = b"".join(map(framed, messages))
        for start in range(0, len(stream), part):
            far.sendall(stream[start : start + part])
        far.shutdown(socket.SHUT_WR)
        channel = Channel(near.fileno())
        assert [channel.receive() for _ in messages] == messages
        assert channel.receive() is None


def test_a_message_larger_than_any_buffer_goes_through(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    message = bytes(range(256)) * 40_000
    writer = threading.Thread(target=channel.send, args=(message,))
    writer.start()
    received = Channel(far.fileno()).receive()
    writer.join()

    assert received == message


def test_a_message_that_breaks_off_counts_as_none(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    far.sendall(framed(b"whole") + framed(b"broken")[:-1])
    far.close()

    assert channel.receive() == b"whole"
    assert channel.receive() is None


def test_waiting_ends_after_its_time(ends: tuple[socket.socket, Channel]) -> None:
    _, channel = ends
    with pytest.raises(TimeoutError):
        channel.receive(0.01)
    with pytest.raises(TimeoutError):
        channel.send(bytes(10 << 20), 0.01)


def test_a_message_announced_as_too_long_is_not_read(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    far.sendall(b"\xff\xff\xff\xff")

    with pytest.raises(ValueError, match="announced a message of 4294967295 bytes; at most 100 are read"):
        channel.receive(most_bytes=100)


def test_sending_to_one_who_has_gone_is_an_error(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    far.close()

    with pytest.raises(BrokenPipeError):
        channel.send(b"hello")
