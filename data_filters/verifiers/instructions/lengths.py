"""Instructions about how long an answer is: words, sentences, paragraphs."""

from __future__ import annotations

import re

from data_filters.verifiers.instructions.base import (
    Count,
    Instruction,
    Ordinal,
    Relation,
    Word,
    count_breach,
    shown,
)
from data_filters.verifiers.instructions.sentences import count_sentences
from data_filters.verifiers.instructions.words import count_words

_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_WORD_END = re.compile(r"[.,?!'\"]")


class NumberOfWords(Instruction, frozen=True):
    """At least, or fewer than, `num_words` words."""

    num_words: Count
    relation: Relation

    def breach(self, text: str) -> str | None:
        return count_breach(count_words(text), self.relation, self.num_words, "words")


class NumberOfSentences(Instruction, frozen=True):
    """At least, or fewer than, `num_sentences` sentences."""

    num_sentences: Count
    relation: Relation

    def breach(self, text: str) -> str | None:
        return count_breach(count_sentences(text), self.relation, self.num_sentences, "sentences")


class NumberOfParagraphs(Instruction, frozen=True):
    """Exactly `num_paragraphs` paragraphs with *** between them, none of them empty."""

    num_paragraphs: Count

    def breach(self, text: str) -> str | None:
        paragraphs = [paragraph.strip() for paragraph in _DIVIDER.split(text)]
        if not all(paragraphs[1:-1]):
            return "nothing stands between two dividers ***"
        count = sum(map(bool, paragraphs))
        return (
            None if count == self.num_paragraphs else f"{count} paragraphs, asked for {self.num_paragraphs}"
        )


class FirstWordOfParagraph(Instruction, frozen=True):
    """Exactly `num_paragraphs` paragraphs with an empty line between them, the given one starting with a word."""

    num_paragraphs: Count
    nth_paragraph: Ordinal
    first_word: Word

    def __post_init__(self) -> None:
        if self.nth_paragraph > self.num_paragraphs:
            raise ValueError(
                f"nth_paragraph {self.nth_paragraph} is more than num_paragraphs {self.num_paragraphs}"
            )

    def breach(self, text: str) -> str | None:
        paragraphs = [paragraph.strip() for paragraph in text.split("\n\n")]
        count = sum(map(bool, paragraphs))
        if count != self.num_paragraphs:
            return f"{count} paragraphs, asked for {self.num_paragraphs}"
        # Counted with the empty ones, as the reference does: they come from more than one empty line.
        found = _first_word(paragraphs[self.nth_paragraph - 1])
        if found == self.first_word.lower():
            return None
        return (
            f"paragraph {self.nth_paragraph} starts with {shown(found)}, asked for {shown(self.first_word)}"
        )


def _first_word(paragraph: str) -> str:
    """The first word in lower case, without quotation marks before it and from the first mark on."""
    word = next(iter(paragraph.split(maxsplit=1)), "").lstrip("'").lstrip('"')
    return _WORD_END.split(word, maxsplit=1)[0].lower()
