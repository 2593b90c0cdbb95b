"""Instructions about the form of an answer: lists, sections, titles, JSON, placeholders, postscripts."""

from __future__ import annotations

import json
import re

from data_filters.samples import Outcome
from data_filters.verifiers.instructions.base import (
    Count,
    Instruction,
    NotDecidedError,
    Word,
    count_breach,
    shown,
)

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
_JSON_FENCES = ("```json", "```Json", "```JSON", "```")
_NUMBER = re.compile(r"\s?\d")
_POSTSCRIPTS = {
    "P.S.": re.compile(r"p\.\s?s\."),
    "P.P.S": re.compile(r"p\.\s?p\.\s?s"),
}


class NumberOfBullets(Instruction, frozen=True):
    """Exactly `num_bullets` lines that start with * or -; a divider --- counts, a line in **bold** does not."""

    num_bullets: Count

    def breach(self, text: str) -> str | None:
        count = _count_bullets(text.split("\n"))
        return None if count == self.num_bullets else f"{count} bullets, asked for {self.num_bullets}"


class ConstrainedResponse(Instruction, frozen=True):
    """One of the three answers "My answer is yes.", "My answer is no." and "My answer is maybe." occurs."""

    def breach(self, text: str) -> str | None:
        return None if any(answer in text for answer in _ANSWERS) else "none of the three answers occurs"


class HighlightedSections(Instruction, frozen=True):
    """At least `num_highlights` parts in *emphasis*; one in **bold** counts as the reference counts it."""

    num_highlights: Count

    def breach(self, text: str) -> str | None:
        single = sum(bool(found[0].strip("*").strip()) for found in _HIGHLIGHT.finditer(text))
        double = sum(bool(found[0][2:-2].strip()) for found in _DOUBLE_HIGHLIGHT.finditer(text))
        return count_breach(single + double, "at least", self.num_highlights, "highlighted parts")


class MultipleSections(Instruction, frozen=True):
    """At least `num_sections` headings such as "Section 1", with the word that the row gives."""

    section_spliter: Word
    num_sections: Count

    def breach(self, text: str) -> str | None:
        count = _count_numbered(self.section_spliter.strip(), text)
        return count_breach(count, "at least", self.num_sections, f"headings {shown(self.section_spliter)}")


class JsonFormat(Instruction, frozen=True):
    """The whole answer is JSON, bare or in one fence."""

    def breach(self, text: str) -> str | None:
        body = text.strip()
        for fence in _JSON_FENCES:
            body = body.removeprefix(fence)
        try:
            # Numbers stay text: turning a long one into an int is refused by Python and says nothing about JSON.
            json.loads(body.removesuffix("```").strip(), parse_int=str)
        except ValueError as error:
            return f"not JSON: {error}"
        except RecursionError as error:
            raise NotDecidedError(
                Outcome.FAILED, "instruction_too_deep", "JSON nested too deep to read"
            ) from error
        return None


class Title(Instruction, frozen=True):
    """A title stands in <<double angular brackets>> on one line."""

    def breach(self, text: str) -> str | None:
        return None if any(map(_has_title, text.split("\n"))) else "no title in double angular brackets"


class Placeholders(Instruction, frozen=True):
    """At least `num_placeholders` placeholders such as [address]."""

    num_placeholders: Count

    def breach(self, text: str) -> str | None:
        count = sum(map(_count_bracketed, text.split("\n")))
        return count_breach(count, "at least", self.num_placeholders, "placeholders")


class Postscript(Instruction, frozen=True):
    """A postscript with the given marker stands anywhere, in either case; "P. S." is "P.S."."""

    postscript_marker: Word

    def breach(self, text: str) -> str | None:
        marker = self.postscript_marker.strip()
        pattern = _POSTSCRIPTS.get(marker)
        found = pattern.search(text.lower()) if pattern else marker.lower() in text.lower()
        return None if found else f"no postscript {shown(marker)}"


def _count_bullets(lines: list[str]) -> int:
    """Lines that start with a star or a dash. A star alone takes the next line into its item."""
    count = 0
    swallowed = False
    for place, line in enumerate(lines):
        item = line.lstrip()
        starred = item.startswith("*") and not item.startswith("**") and not swallowed
        swallowed = starred and len(item) == 1
        has_next = place + 1 < len(lines)
        count += item.startswith("-") or (starred and (not swallowed or has_next))
    return count


def _count_numbered(word: str, text: str) -> int:
    """How often a word stands before a number."""
    count = 0
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        count += _NUMBER.match(text, end) is not None
        start = text.find(word, end)
    return count


def _has_title(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    return 0 <= start < end - 2 and bool(line[start:end].strip("<>").strip())


def _count_bracketed(line: str) -> int:
    count = 0
    end = -1
    while (start := line.find("[", end + 1)) >= 0 and (end := line.find("]", start)) >= 0:
        count += 1
    return count
