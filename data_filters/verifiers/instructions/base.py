"""What the kinds of instruction share: the shape of one, the types of its arguments, and how a count is judged."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from data_filters.samples import Outcome

Relation = Literal["at least", "less than"]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Ordinal = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
# Longer "words" are no words, and looking for them could take time quadratic in the text.
Word = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=200)]
Phrase = Annotated[str, msgspec.Meta(pattern=r"\S")]

_SHOWN_CHARACTERS = 60


class NotDecidedError(Exception):
    """An instruction that could not be checked: `outcome` is UNVERIFIED or FAILED, `reason` a stable slug."""

    def __init__(self, outcome: Outcome, reason: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reason = reason


class Instruction(msgspec.Struct, frozen=True):
    """One kind of instruction; its fields are the arguments that a row gives, under IFEval's names."""

    def breach(self, text: str) -> str | None:
        """Return how a text breaks the instruction, in words for people; None when it keeps it.

        `text` is not blank. Raises NotDecidedError where neither can be said.
        """
        raise NotImplementedError


def count_breach(found: int, relation: Relation, asked: int, counted: str) -> str | None:
    """Return how a count misses what was asked; None when it does not."""
    kept = found >= asked if relation == "at least" else found < asked
    return None if kept else f"{found} {counted}, asked for {relation} {asked}"


def shown(value: str) -> str:
    """Return a string out of a row as it may stand in a message: quoted, escaped and short."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "...")
