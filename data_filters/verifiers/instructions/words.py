"""Counting and finding words in time linear in the text, whatever the row asks for.

A row's keywords are taken as the words that they are, never as patterns: a pattern out of a row can run for ever.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(
    # A comma or colon stays inside a number, one dash joins two words and two dashes part them.
    r"(?:[^\s*;@#$%&?!\"()\[\]{}<>\u201c\u201d\u00ab\u00bb:,\-]|[:,](?=\d)|-(?!-))+"
)
_CLITIC = re.compile(r"(?<=[^'])(?:'(?:s|m|d|ll|re|ve)|n't)$", re.IGNORECASE)
_FUSED = frozenset({"CANNOT", "GONNA", "GOTTA", "GIMME", "LEMME", "WANNA"})


def count_words(text: str) -> int:
    """Return the number of runs of letters, digits and underscores: "don't" counts as two."""
    return sum(1 for _ in _WORD.finditer(text))


def count_capital_words(text: str) -> int:
    """Return the number of words whose letters are all capitals, parted as NLTK's word tokenizer parts them.

    "A NASA-LED TEAM'S PLAN" counts as 5: the hyphen joins, the ending 'S stands alone.
    """
    return sum(_capital_words_in(token[0].rstrip(".")) for token in _TOKEN.finditer(text))


def contains(word: str, text: str) -> bool:
    """Whether a word stands anywhere in a text, also inside other words, in any case."""
    return word.strip().lower() in text.lower()


def count_occurrences(word: str, text: str) -> int:
    """Return how often a word stands in a text, also inside other words, in any case and without overlap."""
    return text.lower().count(word.strip().lower())


def contains_whole(word: str, text: str) -> bool:
    """Whether a word stands in a text on its own, in any case: "sun" does not in "sunny"."""
    word, text = word.strip().lower(), text.lower()
    start = text.find(word)
    while start >= 0:
        if not _joins(text, start) and not _joins(text, start + len(word)):
            return True
        start = text.find(word, start + 1)
    return False


def _joins(text: str, place: int) -> bool:
    """Whether the characters on both sides of a place belong to one word."""
    return 0 < place < len(text) and _is_word(text[place - 1]) and _is_word(text[place])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _capital_words_in(token: str) -> int:
    clitic = _CLITIC.search(token)
    if clitic is not None:
        return token[: clitic.start()].isupper() + clitic[0].isupper()
    return (2 if token in _FUSED else 1) if token.isupper() else 0
