"""Where a thought goes in circles: a passage that comes again and again in a row, and repeated runs of words.

All of it takes time linear in the text, and a text without repeats is done after one set of its runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_filters.words import runs

_RUN_LENGTH = 8
_PROBE_LENGTH = 4
_LONGEST_WORD = 20
"""Above this many characters per word on average, a text has no blanks to tell words by."""
_SHORTEST_LOOP = 50
"""Words that a loop must fill: `and so on, and so on` is only a manner of speaking."""
_SHORTEST_LOOP_WITHOUT_LETTERS = 4000
"""Grids, tables and long divisions repeat digits and signs for good reason."""
_CANDIDATE_PERIODS = 8


@dataclass(frozen=True)
class Loop:
    """A passage that follows itself."""

    passage: str
    repeats: int
    words: int
    """Words that all its repeats fill together."""


def find_loop(text: str, repeats: int) -> Loop | None:
    """A passage that comes more than `repeats` times in a row and fills 50 words or more; None without one.

    In texts without blanks between words, and in endless words, each character counts as a word.
    """
    units: Sequence[str] = text.split()
    if len(text) > _LONGEST_WORD * max(len(units), 1):
        units = "".join(units)
    # Each pass of a loop after the first repeats all its probes.
    total = len(units) - _PROBE_LENGTH + 1
    least_repeated = _SHORTEST_LOOP * repeats // (repeats + 1) - _PROBE_LENGTH
    if total - len(set(runs(units, _PROBE_LENGTH))) < least_repeated:
        return None
    # A passage that repeats words within itself gives some of its loop's votes to shorter distances.
    periods = _periods(units, least_repeated // 2)
    return next((loop for period in periods if (loop := _loop_of(units, period, repeats)) is not None), None)


def repeated_share(text: str) -> float:
    """The share of the 8-word runs in `text` that occurred before in it; 0 for a shorter text."""
    words = text.split()
    total = len(words) - _RUN_LENGTH + 1
    if total <= 0:
        return 0.0
    return 1 - len(set(runs(words, _RUN_LENGTH))) / total


def _periods(units: Sequence[str], least: int) -> list[int]:
    """The commonest distances between a run of four words and its last occurrence before, met `least` times or more."""
    seen: dict[tuple[str, ...], int] = {}
    distances: Counter[int] = Counter()
    for position, probe in enumerate(runs(units, _PROBE_LENGTH)):
        before = seen.get(probe)
        if before is not None:
            distances[position - before] += 1
        seen[probe] = position
    return [distance for distance, count in distances.most_common(_CANDIDATE_PERIODS) if count >= least]


def _loop_of(units: Sequence[str], period: int, repeats: int) -> Loop | None:
    """The longest loop of one period, if it comes more than `repeats` times and is long enough."""
    longest, end, length = 0, 0, 0
    for position in range(period, len(units)):
        length = length + 1 if units[position] == units[position - period] else 0
        if length > longest:
            longest, end = length, position + 1
    filled = longest + period
    passage = (" " if isinstance(units, list) else "").join(units[end - period : end])
    lettered = any(character.isalpha() for character in passage)
    least = _SHORTEST_LOOP if lettered else _SHORTEST_LOOP_WITHOUT_LETTERS
    if filled < least or filled // period <= repeats:
        return None
    return Loop(passage, filled // period, filled)
