"""Marks around what messages say, so that one render of a template tells where each part of them stands.

A mark is one private-use character, the same before and after a part; no text that is rendered holds it. It stands
inside the blanks around the part, so that a template that trims does as it would without marks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from hermes_train.chat.problems import DocumentError, Problem


class PartKind(StrEnum):
    """What of a message a part is."""

    REASONING = "reasoning"
    CONTENT = "content"
    CALL = "call"
    """The name of a function that is called."""


class Part(NamedTuple):
    """A part of message number `message`: its text without outer blanks, of which `leading` came before it."""

    message: int
    kind: PartKind
    text: str
    leading: int


class PlacedPart(NamedTuple):
    """A part and where it stands: characters [start, end) of the rendered text."""

    part: Part
    start: int
    end: int


class _Block(NamedTuple):
    """A block of private-use characters."""

    first: int
    last: int
    pattern: re.Pattern[str]


def _block(first: int, last: int) -> _Block:
    return _Block(first, last, re.compile(f"([{chr(first)}-{chr(last)}])"))


_BLOCKS = (_block(0xE000, 0xF8FF), _block(0xF0000, 0xFFFFD), _block(0x100000, 0x10FFFD))


class Marker:
    """Puts marks into the messages of one conversation and takes them out of what the template made of it."""

    def __init__(self, texts: Iterable[str]) -> None:
        """`texts`: all that the template may write out. Raises DocumentError where they hold every kind of mark."""
        foreign = [text for text in texts if not text.isascii()]
        for block in _BLOCKS:
            if not any(block.pattern.search(text) for text in foreign):
                self._marks = block
                break
        else:
            raise DocumentError(
                Problem.TEMPLATE_LOST_TEXT, "the texts hold private-use characters of all three blocks"
            )
        self.parts: list[Part] = []

    def mark(self, message: int, kind: PartKind, text: str) -> str:
        """Return `text` with its part marked; a text of blanks has no part. Raises DocumentError for too many."""
        core = text.strip()
        if not core:
            return text
        mark = self._marks.first + len(self.parts)
        if mark > self._marks.last:
            raise DocumentError(Problem.TEMPLATE_REFUSED, f"more than {len(self.parts)} messages and calls")
        leading = text.index(core[0])
        self.parts.append(Part(message, kind, core, leading))
        return f"{text[:leading]}{chr(mark)}{core}{chr(mark)}{text[leading + len(core) :]}"

    def unmark(self, rendered: str) -> tuple[str, list[PlacedPart]]:
        """Return the text without marks and the parts in the order in which they stand in it.

        Raises DocumentError for a part that stands there twice or not as it was given; whether one is missing is for
        the caller to see.
        """
        edges = self._edges_in_order(rendered)
        texts = _between(rendered, edges)
        text = "".join(texts)
        if not text.isascii() and self._marks.pattern.search(text):
            edges = [found.start() for found in self._marks.pattern.finditer(rendered)]
            texts = _between(rendered, edges)
            text = "".join(texts)
        numbers = [ord(rendered[edge]) - self._marks.first for edge in edges]
        opened, closed = numbers[::2], numbers[1::2]
        repeated = {number for number, times in Counter(opened).items() if times > 1}
        # A function's name may be repeated, as in the header of its result; the first one is the call's.
        if opened != closed or any(self.parts[number].kind is not PartKind.CALL for number in repeated):
            raise DocumentError(
                Problem.TEMPLATE_LOST_TEXT, "the template writes a message twice, or a part of it"
            )
        placed = []
        position = 0
        for at, number in enumerate(opened):
            start = position + len(texts[2 * at])
            position = start + len(texts[2 * at + 1])
            if number not in repeated or number not in opened[:at]:
                placed.append(PlacedPart(self.parts[number], start, position))
        return text, placed

    def _edges_in_order(self, rendered: str) -> list[int]:
        """Return where the marks stand as far as every part stands there once and in order.

        Nearly every template writes them so, and this is several times as fast as looking at each character.
        """
        edges: list[int] = []
        position = 0
        for number in range(len(self.parts)):
            mark = chr(self._marks.first + number)
            for _ in range(2):
                position = rendered.find(mark, position) + 1
                if not position:
                    return edges
                edges.append(position - 1)
        return edges


def _between(text: str, edges: list[int]) -> list[str]:
    """Return the pieces of a text between single characters."""
    return [text[before + 1 : edge] for before, edge in pairwise([-1, *edges, len(text)])]
