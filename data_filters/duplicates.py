"""Exact duplicates: conversations, or prompts, that are the same up to blanks and Unicode spelling."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from data_filters.samples import Check, Message, Outcome, Sample

if TYPE_CHECKING:
    import numpy as np

    from data_filters.buckets import Buckets
    from data_filters.changes import Changes
    from data_filters.shards import Shards

CHECK_NAME = "duplicates"
REASON = "duplicate_exact"

_DIGEST_BYTES = 16


def duplicate_digest(sample: Sample, by: Literal["trace", "prompt"]) -> bytes:
    """16 bytes that are equal for rows that count as the same."""
    return conversation_digest(sample) if by == "trace" else bytes.fromhex(prompt_digest(sample.prompt))


def conversation_digest(sample: Sample) -> bytes:
    """16 bytes that are equal for equal turns, thoughts, tool calls and tools; ids do not count."""
    return _digest([*_message_parts(sample.messages), _json(sample.tools)])


def prompt_digest(messages: list[Message]) -> str:
    """32 hexadecimal digits that are equal for equal prompts."""
    return _digest(_message_parts(messages)).hex()


def take_out_exact(
    shards: Shards, kept: np.ndarray, changes: Changes, scratch: Path, by: Literal["trace", "prompt"]
) -> None:
    """Take out each kept row that equals an earlier one: clear its place in `kept` and note why in `changes`.

    `kept` says of each row of all shards whether it is kept. Works on one bucket of digests at a time, in
    files under `scratch`.
    """
    from data_filters.changes import Change
    from data_filters.shards import RowLookup

    what = "conversation" if by == "trace" else "prompt"
    lookup = RowLookup(shards)
    for task, pairs in enumerate(_pairs_by_task(shards, kept, scratch)):
        kept[pairs["number"]] = False
        pairs.sort(order="number")
        changes.add(
            task,
            (
                Change(
                    int(number),
                    Check(
                        CHECK_NAME,
                        Outcome.REFUTED,
                        REASON,
                        f"same {what} as {lookup.sample(int(first)).id}",
                    ),
                )
                for number, first in pairs
            ),
        )
    lookup.close()


def _pairs_by_task(shards: Shards, kept: np.ndarray, scratch: Path) -> Buckets:
    """Each row that equals an earlier one, with the first of its kind."""
    import numpy as np

    from data_filters.buckets import PAIR_TYPE, Buckets

    record_type = np.dtype([("digest", "<u8", (2,)), ("number", "<u8")])
    digests = Buckets.for_keys(scratch / "digests", record_type, int(kept.sum()))
    for task in shards.tasks:
        index = shards.index(task)
        records = index[kept[index["number"]]][["duplicate", "number"]].astype(record_type)
        digests.add_by_key(records, records["digest"][:, 0])
    pairs = Buckets(scratch / "pairs", PAIR_TYPE, len(shards.tasks))
    for bucket in digests:
        digest, number = bucket["digest"], bucket["number"]
        order = np.lexsort((number, digest[:, 1], digest[:, 0]))
        digest, number = digest[order], number[order]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (digest[1:] != digest[:-1]).any(axis=1)
        first = number[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
        found = np.empty(int((~is_first).sum()), PAIR_TYPE)
        found["number"], found["first"] = number[~is_first], first[~is_first]
        pairs.add(found, shards.tasks_of(found["number"]))
    return pairs


def _message_parts(messages: list[Message]) -> list[bytes]:
    parts = []
    for message in messages:
        parts.append(message.role.encode())
        # An empty thought is another conversation than none: it is another mode.
        parts.append(b"" if message.reasoning is None else b"t" + _normalised(message.reasoning))
        parts.append(_normalised(message.content))
        parts.append(_json(message.tool_calls))
    return parts


def _json(value: list[dict[str, Any]] | None) -> bytes:
    return msgspec.json.encode(value, order="deterministic") if value else b""


def _digest(parts: list[bytes]) -> bytes:
    """Digest parts with their lengths, so that text cannot move from one part to the next unseen."""
    framed = b"".join(piece for part in parts for piece in (len(part).to_bytes(8, "little"), part))
    return hashlib.blake2b(framed, digest_size=_DIGEST_BYTES).digest()


def _normalised(text: str) -> bytes:
    return " ".join(unicodedata.normalize("NFC", text).split()).encode("utf-8", "surrogatepass")
