"""Instructions about words and letters that must or must not occur."""

from __future__ import annotations

from typing import Annotated

import msgspec

from data_filters.verifiers.instructions.base import (
    Count,
    Instruction,
    Relation,
    Word,
    count_breach,
    shown,
)
from data_filters.verifiers.instructions.words import contains, contains_whole, count_occurrences

Words = Annotated[list[Word], msgspec.Meta(min_length=1)]


class Existence(Instruction, frozen=True):
    """Each of the `keywords` occurs, if need be inside another word."""

    keywords: Words

    def breach(self, text: str) -> str | None:
        missing = next((word for word in self.keywords if not contains(word, text)), None)
        return None if missing is None else f"{shown(missing)} does not occur"


class Frequency(Instruction, frozen=True):
    """The `keyword` occurs at least, or less than, `frequency` times, if need be inside other words."""

    keyword: Word
    frequency: Count
    relation: Relation

    def breach(self, text: str) -> str | None:
        count = count_occurrences(self.keyword, text)
        return count_breach(count, self.relation, self.frequency, f"times {shown(self.keyword)}")


class ForbiddenWords(Instruction, frozen=True):
    """None of the `forbidden_words` occurs on its own."""

    forbidden_words: Words

    def breach(self, text: str) -> str | None:
        found = next((word for word in self.forbidden_words if contains_whole(word, text)), None)
        return None if found is None else f"{shown(found)} occurs"


class LetterFrequency(Instruction, frozen=True):
    """The `letter` occurs at least, or less than, `let_frequency` times in either case.

    A mark such as "#" is counted like a letter. The reference's first release took a random letter in its place,
    so published verdicts on such rows can differ.
    """

    letter: Annotated[str, msgspec.Meta(pattern=r"\S", min_length=1, max_length=1)]
    let_frequency: Count
    let_relation: Relation

    def breach(self, text: str) -> str | None:
        count = count_occurrences(self.letter, text)
        return count_breach(count, self.let_relation, self.let_frequency, f"times {shown(self.letter)}")
