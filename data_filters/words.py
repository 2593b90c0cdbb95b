"""A text as words, for comparing texts by the runs of words they share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Scripts that put no blanks between words: each character is a word of its own.
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Signs of arithmetic count as words: 2 + 5 and 2 - 5 are two problems.
_SIGNS = "[-+*/=^<>]"
_ASCII_WORD = re.compile(rf"[a-z0-9_]+|{_SIGNS}")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|{_SIGNS}")

Run = tuple[str, ...]
"""Words that follow each other."""


def words(text: str) -> list[str]:
    """The words of a text without regard to case; signs of arithmetic are words, punctuation is not."""
    # Most text is ASCII, and its words are found twice as fast.
    return _ASCII_WORD.findall(text.lower()) if text.isascii() else _WORD.findall(text.casefold())


def runs(found: Sequence[str], length: int) -> Iterable[Run]:
    """Each run of `length` words, in order; none for fewer words."""
    return zip(*(found[start:] for start in range(length)), strict=False)
