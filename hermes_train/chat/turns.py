"""Where the assistant's turns start and end in a rendered text, and which of their characters are trained.

A turn is what the model has to write by itself: it starts where the generation prompt ends, which the template shows
when it is asked for one, and ends after its end token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_filters.samples import Message, Mode
from hermes_train.chat.marks import PartKind, PlacedPart
from hermes_train.chat.messages import function_of, values_in
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.template import CONTROL_TAGS, THINK_CLOSE, THINK_OPEN
from hermes_train.chat.template_facts import TemplateFacts, TemplateProbe

_EMPTY_THOUGHT = re.compile(rf"{THINK_OPEN}\s*{THINK_CLOSE}\s*")


@dataclass(frozen=True, slots=True)
class TrainedTurn:
    """An assistant turn that is trained: characters [start, stop) are what the model has to write.

    `end`: where its end token starts. `spans`: the character ranges that carry loss.
    """

    start: int
    end: int
    stop: int
    spans: tuple[tuple[int, int], ...]


class TurnFinder:
    """Finds the trained turns in what one template renders."""

    def __init__(self, probe: TemplateProbe, facts: TemplateFacts, control: re.Pattern[str]) -> None:
        """`control` finds the tokenizer's added tokens."""
        self._probe = probe
        self._facts = facts
        self._control = control
        self._turn_end = any_of(facts.turn_ends)
        self._prompts: dict[tuple[str | None, Mode], str | None] = {}

    def turns(
        self,
        text: str,
        placed: Sequence[PlacedPart],
        messages: Sequence[Message],
        mode: Mode,
        keep_cots: bool,
    ) -> Iterator[TrainedTurn]:
        """Yield the turns that are trained. Raises DocumentError."""
        trained = [
            index
            for index, message in enumerate(messages)
            if message.role == "assistant" and message.train != "none"
        ]
        if not trained:
            raise DocumentError(Problem.NO_TRAINED_TURN, "every assistant turn has train: none")
        for index in trained:
            own = [place for place in placed if place.part.message == index]
            if not own:
                raise DocumentError(Problem.EMPTY_TURN, f"message {index} (assistant) says nothing")
            start = self._start(text, placed, own, messages, mode, keep_cots)
            after = min((place.start for place in placed if place.start > own[-1].end), default=len(text))
            ending = self._turn_end.search(text, own[-1].end, after)
            if ending is None:
                raise DocumentError(
                    Problem.TURN_END_UNKNOWN, f"no end token follows message {index} (assistant)"
                )
            _refuse_lost_arguments(text[start : ending.start()], messages[index])
            spans = _trained_spans(text, messages[index], own, start, ending.start(), ending.end())
            yield TrainedTurn(start, ending.start(), ending.end(), spans)

    def _start(
        self,
        text: str,
        placed: Sequence[PlacedPart],
        own: Sequence[PlacedPart],
        messages: Sequence[Message],
        mode: Mode,
        keep_cots: bool,
    ) -> int:
        """Return where a turn's generation prompt ends: from there on the model has to write by itself."""
        first = own[0].start
        index = own[0].part.message
        position = max((place.end for place in placed if place.end <= first), default=0)
        region = text[position:first]
        thinks = own[0].part.kind is PartKind.REASONING
        # A turn with a thought answers a prompt for one, also where the last turn of the conversation has none.
        asked = Mode.THINK if thinks else mode
        prompt = self._prompt_after(messages[index - 1].role if index else None, asked)
        start = None if prompt is None else self._end_of(prompt, region)
        start = position + (self._after_header(region, asked) if start is None else start)
        # An empty thought is the model's own unless the template has taken it out of the history.
        last_user = max((at for at, message in enumerate(messages) if message.role == "user"), default=-1)
        own_empty = messages[index].reasoning is not None and (keep_cots or index > last_user)
        if not thinks and not own_empty and (stub := _EMPTY_THOUGHT.match(text, start, first)):
            start = stub.end()
        return start

    def _end_of(self, prompt: str, region: str) -> int | None:
        """Return where a generation prompt ends in the template's text before what the assistant says, None where it
        does not stand there."""
        # A turn without a thought may lack the think block that the prompt ends in.
        for whole in (prompt, prompt.partition(THINK_OPEN)[0]):
            # From its last control token on: what stands before depends on the message, such as the id of a call.
            tokens = [
                found.start() for found in self._control.finditer(whole) if found[0] not in CONTROL_TAGS
            ]
            header = whole[tokens[-1] :] if tokens else whole.lstrip()
            # The last one counts: a message of blanks may stand before it.
            if header and (at := region.rfind(header)) >= 0:
                return at + len(header)
        return None if prompt.strip() else 0

    def _prompt_after(self, role: str | None, mode: Mode) -> str | None:
        key = (role, mode)
        if key not in self._prompts:
            self._prompts[key] = self._probe.prompt_after(role, mode)
        return self._prompts[key]

    def _after_header(self, region: str, mode: Mode) -> int:
        """Return where the assistant's header ends, for a turn that follows nothing known. Raises DocumentError."""
        own = self._facts.generation_prompts[mode]
        prompts = self._facts.generation_prompts
        header = prompts[Mode.THINK][: _common(prompts[Mode.THINK], prompts[Mode.DIRECT])]
        if not header.strip() or (found := region.rfind(header)) < 0:
            raise DocumentError(
                Problem.TURN_START_UNKNOWN,
                "the assistant's turn does not follow a turn that the template can prompt after",
            )
        return found + _common(region[found:], own)


def _trained_spans(
    text: str, message: Message, own: Sequence[PlacedPart], start: int, end: int, stop: int
) -> tuple[tuple[int, int], ...]:
    """Return the character ranges of a turn that carry loss. Raises DocumentError."""
    if message.train == "all":
        return ((start, stop),)
    if message.train == "close_think":
        thought = next((place for place in own if place.part.kind is PartKind.REASONING), None)
        answer = next((place for place in own if place.part.kind is PartKind.CONTENT), None)
        closing = text.find(THINK_CLOSE, thought.end, answer.start if answer else end) if thought else -1
        if closing < 0:
            raise DocumentError(
                Problem.THINK_CLOSE_MISSING, "a thought that is to be closed by force has no closing tag"
            )
        return ((closing, closing + len(THINK_CLOSE)), (end, stop))
    assert not isinstance(message.train, str)
    spans = []
    places = {str(place.part.kind): place for place in own}
    for wanted in message.train:
        said = (message.reasoning if wanted.part == "reasoning" else message.content) or ""
        place = places.get(wanted.part)
        if place is None or not 0 <= wanted.start < wanted.end <= len(said):
            raise DocumentError(
                Problem.TRAIN_SPAN_OUTSIDE,
                f"train names {wanted.part} {wanted.start} to {wanted.end}, but it has {len(said)} characters",
            )
        offset = place.start - place.part.leading
        # Outer blanks are trained, too, where the template has left them.
        low, high = (start, end) if text.startswith(said, max(offset, 0)) else (place.start, place.end)
        spans.append((max(low, offset + wanted.start), min(high, offset + wanted.end)))
        if wanted.part == "content" and wanted.end == len(said):
            spans.append((end, stop))
    return _merged(spans)


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return spans that do not overlap and cover the same characters, ascending."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)


def _refuse_lost_arguments(turn: str, message: Message) -> None:
    for call in message.tool_calls or ():
        for ways in values_in(function_of(call)["arguments"]):
            if not any(way in turn for way in ways):
                raise DocumentError(
                    Problem.TEMPLATE_LOST_TEXT,
                    f"an argument of a call is missing from the rendered text: {ways[0][:80]}",
                )


def any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern for the first of some tokens; of two that start at one place, the longer."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _common(first: str, second: str) -> int:
    """Return how many characters two texts begin with in common."""
    if first.startswith(second):
        return len(second)
    differs = (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differs, min(len(first), len(second)))
