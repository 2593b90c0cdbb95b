"""Exact duplicates: conversations that are the same up to blanks and Unicode spelling."""

from __future__ import annotations

import hashlib
import unicodedata

import msgspec

from data_filters.samples import Message, Sample

REASON = "duplicate_exact"


def conversation_digest(sample: Sample) -> bytes:
    """16 bytes that are equal for equal turns, thoughts, tool calls and tools; ids do not count."""
    digest = hashlib.blake2b(digest_size=16)
    for message in sample.messages:
        _add_message(digest, message)
    _add(digest, msgspec.json.encode(sample.tools, order="deterministic") if sample.tools else b"")
    return digest.digest()


def prompt_digest(messages: list[Message]) -> str:
    """32 hexadecimal digits that are equal for equal prompts."""
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        _add_message(digest, message)
    return digest.hexdigest()


class SeenConversations:
    """The conversations met so far.

    Feed it in source order, so that the first of two equal rows is the one kept.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def first_id(self, sample: Sample) -> str | None:
        """The id of the equal sample met before; None, and the sample is remembered, when there is none."""
        digest = conversation_digest(sample)
        earlier = self._first.get(digest)
        if earlier is None:
            self._first[digest] = sample.id
        return earlier


def _add_message(digest: hashlib.blake2b, message: Message) -> None:
    _add(digest, message.role.encode())
    # An empty thought is another conversation than none: it is another mode.
    _add(digest, b"" if message.reasoning is None else b"t" + _normalised(message.reasoning))
    _add(digest, _normalised(message.content))
    _add(
        digest, msgspec.json.encode(message.tool_calls, order="deterministic") if message.tool_calls else b""
    )


def _add(digest: hashlib.blake2b, part: bytes) -> None:
    """Add a part with its length, so that text cannot move from one part to the next unseen."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)


def _normalised(text: str) -> bytes:
    return " ".join(unicodedata.normalize("NFC", text).split()).encode("utf-8", "surrogatepass")
