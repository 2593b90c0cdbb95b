"""Instructions about the answer as a whole: how it starts and ends, what it repeats, how many answers there are."""

from __future__ import annotations

from data_filters.verifiers.instructions.base import Instruction, Phrase, shown

_DIVIDER = "******"


class EndChecker(Instruction, frozen=True):
    """The answer ends with `end_phrase`, in any case; a quotation mark may follow."""

    end_phrase: Phrase

    def breach(self, text: str) -> str | None:
        ending = text.strip().strip('"').lower()
        if ending.endswith(self.end_phrase.strip().lower()):
            return None
        return f"does not end with {shown(self.end_phrase)}"


class Quotation(Instruction, frozen=True):
    """The whole answer stands in double quotation marks."""

    def breach(self, text: str) -> str | None:
        text = text.strip()
        quoted = len(text) > 1 and text[0] == '"' and text[-1] == '"'
        return None if quoted else "not wrapped in double quotation marks"


class NoComma(Instruction, frozen=True):
    """No comma occurs."""

    def breach(self, text: str) -> str | None:
        count = text.count(",")
        return f"{count} commas" if count else None


class RepeatPrompt(Instruction, frozen=True):
    """The answer first repeats `prompt_to_repeat`, in any case."""

    prompt_to_repeat: Phrase

    def breach(self, text: str) -> str | None:
        repeats = text.strip().lower().startswith(self.prompt_to_repeat.strip().lower())
        return None if repeats else f"does not start with {shown(self.prompt_to_repeat)}"


class TwoResponses(Instruction, frozen=True):
    """Two answers that differ, with ****** between them."""

    def breach(self, text: str) -> str | None:
        parts = [part.strip() for part in text.split(_DIVIDER)]
        if not all(parts[1:-1]):
            return f"nothing stands between two dividers {_DIVIDER}"
        answers = [part for part in parts if part]
        if len(answers) != 2:
            return f"{len(answers)} answers, asked for 2"
        return None if answers[0] != answers[1] else "the two answers are the same"
