"""Near duplicates: rows that share most of their word runs with an earlier row.

MinHash signatures find candidates; their texts are then compared themselves, so that no row is taken out by an
accident of hashing. The share is Jaccard's: word runs that both have, of those that either has. Of whole traces,
prompts and answers must each reach the threshold: two traces of one long prompt stay, and so do two problems with
the same short answer. Rows with tasks that differ are never duplicates: one number can make another problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from data_filters.buckets import PAIR_TYPE, Buckets
from data_filters.changes import Change, Changes
from data_filters.duplicates import CHECK_NAME
from data_filters.samples import Check, Message, Outcome, Sample
from data_filters.settings import NearDuplicatesSettings
from data_filters.shards import RowLookup, Shards
from data_filters.splitmix import splitmix64
from data_filters.words import Run, runs, words

REASON = "duplicate_near"

By = Literal["trace", "prompt"]
RunSets = tuple[frozenset[Run], ...]

_PERMUTATIONS = 128
_SEED = 1
_RECALL = 0.99
"""Least probability that a pair at the threshold becomes a candidate."""
_COMPARED = 8
"""How many of the first rows that share a band a row is compared with: all of them would be a square."""
_CACHED_ROWS = 1024

_SHOWN_CHARACTERS = 200


def signature(sample: Sample, settings: NearDuplicatesSettings, by: By) -> bytes:
    """The MinHash signature of a row's word runs: 128 numbers of 4 bytes, the same on every machine."""
    import rensa

    sketch = rensa.RMinHash(_PERMUTATIONS, _SEED)
    for part, text in enumerate(_texts(sample, by)):
        # The part counts: the same words in a prompt and in an answer are two things.
        sketch.update([f"{part} {' '.join(run)}" for run in _runs(text, settings.ngram)])
    return np.asarray(sketch.digest(), dtype="<u4").tobytes()


def run_sets(sample: Sample, ngram: int, by: By) -> RunSets:
    """The word runs of each part of a row that must be alike; a text of fewer words is one run."""
    return tuple(frozenset(_runs(text, ngram)) for text in _texts(sample, by))


def similarity(first: RunSets, second: RunSets) -> float:
    """The Jaccard share of the parts that are least alike, from 0 to 1."""
    return min(
        len(one & other) / len(one | other) if one or other else 1.0
        for one, other in zip(first, second, strict=True)
    )


def bands_and_rows(threshold: float) -> tuple[int, int]:
    """How a signature is cut into bands, of which one must be equal: as few candidates as the recall allows."""
    for rows in range(_PERMUTATIONS, 0, -1):
        bands = _PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= _RECALL:
            return bands, rows
    raise ValueError(f"no cut of {_PERMUTATIONS} numbers finds pairs at threshold {threshold}")


def take_out_near(
    shards: Shards,
    kept: np.ndarray,
    changes: Changes,
    scratch: Path,
    settings: NearDuplicatesSettings,
    by: By,
) -> None:
    """Take out each kept row that is nearly an earlier row that stays.

    Clears its place in `kept` and notes why in `changes`. Rows are taken in order, so that the outcome does
    not depend on the number of tasks. Works on one bucket of bands at a time, in files under `scratch`.
    """
    candidates = _candidates_by_task(shards, kept, scratch, settings.threshold)
    lookup = RowLookup(shards)
    rows = _ComparedRows(lookup, settings, by)

    def found(pairs: np.ndarray) -> Iterator[Change]:
        for number, group in groupby(np.unique(pairs).tolist(), key=lambda pair: pair[0]):
            like = next((first for _, first in group if kept[first] and rows.are_near(number, first)), None)
            if like is not None:
                kept[number] = False
                yield Change(number, rows.check(number, like))

    for task in shards.tasks:
        changes.add(task, found(candidates.read(task)))
    lookup.close()


class _ComparedRows:
    """Rows as they are compared; those compared last are remembered."""

    def __init__(self, lookup: RowLookup, settings: NearDuplicatesSettings, by: By) -> None:
        self._threshold = settings.threshold
        self._ngram = settings.ngram
        self._by: By = by
        self._sample = lru_cache(_CACHED_ROWS)(lookup.sample)
        self._runs = lru_cache(_CACHED_ROWS)(self._read_runs)

    def are_near(self, number: int, first: int) -> bool:
        """Whether two rows are near; those with tasks that differ are not."""
        if self._sample(number).task != self._sample(first).task:
            return False
        return similarity(self._runs(number), self._runs(first)) >= self._threshold

    def check(self, number: int, first: int) -> Check:
        """What takes a row out for being near to an earlier one."""
        share = similarity(self._runs(number), self._runs(first))
        shared = _shared_text(_texts(self._sample(number), self._by)[-1], self._runs(first)[-1], self._ngram)
        detail = f"shares {share:.0%} of the word runs of {self._sample(first).id}, such as {shared!r}"
        return Check(CHECK_NAME, Outcome.REFUTED, REASON, detail)

    def _read_runs(self, number: int) -> RunSets:
        return run_sets(self._sample(number), self._ngram, self._by)


def _shared_text(text: str, others: frozenset[Run], ngram: int) -> str:
    """The first stretch of words that stands in both, cut where it is long."""
    stretch: list[str] = []
    for run in _runs(text, ngram):
        if run in others:
            stretch += run if not stretch else run[-1:]
        elif stretch:
            break
    shown = " ".join(stretch)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def _candidates_by_task(shards: Shards, kept: np.ndarray, scratch: Path, threshold: float) -> Buckets:
    """Pairs of rows with an equal band, by the task of the later row."""
    bands, rows = bands_and_rows(threshold)
    record_type = np.dtype([("key", "<u8"), ("number", "<u8")])
    keys = Buckets.for_keys(scratch / "bands", record_type, int(kept.sum()) * bands)
    for task in shards.tasks:
        index = shards.index(task)
        chosen = kept[index["number"]]
        signatures = shards.signatures(task, len(index))[chosen]
        records = np.empty((bands, len(signatures)), record_type)
        records["number"] = index["number"][chosen]
        for band in range(bands):
            records["key"][band] = _band_keys(signatures[:, band * rows : (band + 1) * rows], band)
        keys.add_by_key(records.ravel(), records["key"].ravel())
    pairs = Buckets(scratch / "candidates", PAIR_TYPE, len(shards.tasks))
    for bucket in keys:
        for found in _pairs_of(bucket):
            pairs.add(found, shards.tasks_of(found["number"]))
    return pairs


def _band_keys(columns: np.ndarray, band: int) -> np.ndarray:
    """One number for each row's band; rows of other bands must not meet by having the same numbers."""
    keys = np.full(len(columns), band + 1, dtype=np.uint64)
    for column in columns.T:
        keys = splitmix64(keys ^ column.astype(np.uint64))
    return keys


def _pairs_of(bucket: np.ndarray) -> Iterator[np.ndarray]:
    """Each row of a bucket with the first rows of the same key."""
    order = np.lexsort((bucket["number"], bucket["key"]))
    key, number = bucket["key"][order], bucket["number"][order]
    place = np.arange(len(order))
    starts = np.zeros(len(order), dtype=np.int64)
    starts[1:] = np.where(key[1:] != key[:-1], place[1:], 0)
    starts = np.maximum.accumulate(starts)
    for nth in range(_COMPARED):
        later = place - starts > nth
        found = np.empty(int(later.sum()), PAIR_TYPE)
        found["number"], found["first"] = number[later], number[starts[later] + nth]
        yield found


def _texts(sample: Sample, by: By) -> tuple[str, ...]:
    """The parts of a row that must be alike: the prompt, and with `trace` what the assistant says."""
    if by == "prompt":
        return (_joined(sample.prompt),)
    asked = [message for message in sample.messages if message.role != "assistant"]
    answered = [message for message in sample.messages if message.role == "assistant"]
    return _joined(asked), _joined(answered)


def _joined(messages: list[Message]) -> str:
    return "\n".join(text for message in messages for text in _message_texts(message))


def _message_texts(message: Message) -> Iterator[str]:
    if message.reasoning:
        yield message.reasoning
    yield message.content
    if message.tool_calls:
        yield msgspec.json.encode(message.tool_calls, order="deterministic").decode()


def _runs(text: str, ngram: int) -> Iterable[Run]:
    found = words(text)
    return (tuple(found),) if 0 < len(found) < ngram else runs(found, ngram)
