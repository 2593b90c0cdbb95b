"""Messages over a stream socket: each is its length in four bytes, big-endian, and then its bytes.

b"\\x00\\x00\\x00\\x02hi"
"""

from __future__ import annotations

import os
import select
import struct
import time

HEADER = struct.Struct("!I")
_PART_BYTES = 1 << 20
_AHEAD_BYTES = 1 << 12
"""A short message is read together with its length."""


def framed(message: bytes) -> bytes:
    """The message with its length in front of it."""
    return HEADER.pack(len(message)) + message


class Channel:
    """The inmate's end of a line to another process: the descriptor of a stream socket.

    Sending and receiving block, for at most `seconds` where that is given; then they raise TimeoutError.
    """

    def __init__(self, end: int) -> None:
        os.set_blocking(end, False)
        self._end = end
        self._ahead = bytearray()

    def send(self, message: bytes, seconds: float | None = None) -> None:
        """Send one message. Raises BrokenPipeError when the other side has gone."""
        deadline = _deadline(seconds)
        left = memoryview(framed(message))
        while left:
            try:
                left = left[os.write(self._end, left) :]
            except BlockingIOError:
                self._await(select.POLLOUT, deadline)

    def receive(self, seconds: float | None = None, most_bytes: int | None = None) -> bytes | None:
        """The next message; None when the other side has gone.

        Raises ValueError, with nothing more read, when it is announced as longer than `most_bytes`.
        """
        deadline = _deadline(seconds)
        header = self._read(HEADER.size, deadline)
        if header is None:
            return None
        (length,) = HEADER.unpack(header)
        if most_bytes is not None and length > most_bytes:
            raise ValueError(f"announced a message of {length} bytes; at most {most_bytes} are read")
        return self._read(length, deadline)

    def _read(self, length: int, deadline: float | None) -> bytes | None:
        """The next `length` bytes; what comes along with them is kept for the next time."""
        while len(self._ahead) < length:
            self._await(select.POLLIN, deadline)
            wanted = length - len(self._ahead)
            try:
                part = os.read(self._end, min(max(wanted, _AHEAD_BYTES), _PART_BYTES))
            except ConnectionResetError:
                return None
            if not part:
                return None
            self._ahead += part
        found = bytes(memoryview(self._ahead)[:length])
        del self._ahead[:length]
        return found

    def _await(self, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self._end, event)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise TimeoutError("the other side takes too long")


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds
