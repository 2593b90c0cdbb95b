"""A conversation rendered once, with the character spans that the assistant wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from data_filters.samples import Message, Mode, Sample
from hermes_train.chat.template import CONTROL_TAGS, THINK_OPEN, ChatFormat


class RenderProblem(StrEnum):
    """Why a conversation cannot become a document."""

    CONTROL_TOKEN_IN_TEXT = "control_token_in_text"
    TEMPLATE_LOST_TEXT = "template_lost_text"
    NO_TRAINED_TURN = "no_trained_turn"


class RenderError(ValueError):
    """A conversation that cannot become a document; `problem` is a stable slug, the message says where."""

    def __init__(self, problem: RenderProblem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem


@dataclass(frozen=True)
class TurnSpan:
    """What one assistant turn wrote: characters [start, end) of the rendered text, end-of-turn token included."""

    start: int
    end: int
    message: Message


@dataclass(frozen=True)
class Rendered:
    """A conversation as text. `mode` is the mode that was asked for."""

    text: str
    turns: tuple[TurnSpan, ...]
    mode: Mode


def history_views(sample: Sample, history: str) -> list[tuple[Sample, bool]]:
    """Return the (conversation, keep_cots) pairs that `sample` is trained as.

    `keep`: one, with all thoughts. `strip`: one, with earlier thoughts taken out by the template. `expand`: one per
    assistant turn, cut after it, earlier thoughts taken out and earlier turns not trained: just as the model will see
    them in use. A conversation with one assistant turn is the same in all three.
    """
    if history != "expand":
        return [(sample, history == "keep")]
    turns = [index for index, message in enumerate(sample.messages) if message.role == "assistant"]
    views = []
    for index in turns:
        earlier = [
            msgspec.structs.replace(message, train="none") if message.role == "assistant" else message
            for message in sample.messages[:index]
        ]
        identity = sample.id if len(turns) == 1 else f"{sample.id}#{index}"
        messages = [*earlier, sample.messages[index]]
        views.append((msgspec.structs.replace(sample, id=identity, messages=messages), False))
    return views


class Renderer:
    """Renders conversations with one template; the template is compiled once."""

    def __init__(
        self, template: str, chat_format: ChatFormat, bos_token: str | None, think_system: str
    ) -> None:
        self.template = template
        self.chat_format = chat_format
        self.bos_token = bos_token or ""
        self.think_system = think_system

    def render(
        self,
        sample: Sample,
        *,
        mode: Mode | None = None,
        keep_cots: bool = False,
        tags_in_answer: bool = False,
    ) -> Rendered:
        """Return `sample` as text, in its own mode or as an answer to a request for `mode`.

        `tags_in_answer` lets the last turn hold thought and tool tags: a rejected answer of a preference pair may
        misuse them. Raises RenderError.
        """
        mode = mode or sample.mode
        self._refuse_control_tokens(sample, tags_in_answer)
        messages = self._with_think_request(sample.messages, mode)
        text, spans = self._call(
            messages, sample.tools, thinking=mode is Mode.THINK, keep_cots=keep_cots, prompt_only=False
        )
        spoken = [message for message in messages if message.role == "assistant"]
        turns = tuple(
            TurnSpan(start, end, message) for (start, end), message in zip(spans, spoken, strict=True)
        )
        _refuse_lost_text(text, turns, self.chat_format.end_of_turn)
        if all(turn.message.train == "none" for turn in turns):
            raise RenderError(RenderProblem.NO_TRAINED_TURN, "every assistant turn has train: none")
        return Rendered(text, turns, mode)

    def prompt(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None, mode: Mode) -> str:
        """Return the text after which the model answers in `mode`."""
        asked = self._with_think_request(messages, mode)
        text, _ = self._call(asked, tools, thinking=mode is Mode.THINK, keep_cots=False, prompt_only=True)
        return text

    def _call(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]] | None,
        *,
        thinking: bool,
        keep_cots: bool,
        prompt_only: bool,
    ) -> tuple[str, list[tuple[int, int]]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[[msgspec.to_builtins(message) for message in messages]],
            tools=tools,
            chat_template=self.template,
            return_assistant_tokens_mask=True,
            add_generation_prompt=prompt_only,
            thinking=thinking,
            keep_cots=keep_cots,
            bos_token=self.bos_token,
        )
        return texts[0], spans[0]

    def _with_think_request(self, messages: Sequence[Message], mode: Mode) -> list[Message]:
        """A system message of the user's own hides the template's request to think: put that before it."""
        first, *rest = messages
        if mode is Mode.THINK and first.role == "system" and THINK_OPEN not in first.content:
            first = msgspec.structs.replace(first, content=f"{self.think_system}\n\n{first.content}")
        return [first, *rest]

    def _refuse_control_tokens(self, sample: Sample, tags_in_answer: bool) -> None:
        """Text must not become structure: refuse control tokens in what people, tools and the model wrote."""
        for index, message in enumerate(sample.messages):
            tags: tuple[str, ...] = self.chat_format.control_tokens
            if message.role != "system" and not (tags_in_answer and message is sample.answer):
                # System prompts may name the tags: Hermes' own reasoning prompt does.
                tags += CONTROL_TAGS
            for text in (message.content, message.reasoning or ""):
                for tag in tags:
                    if tag in text:
                        detail = f"message {index} ({message.role}) contains {tag}"
                        raise RenderError(RenderProblem.CONTROL_TOKEN_IN_TEXT, detail)


def _refuse_lost_text(text: str, turns: tuple[TurnSpan, ...], end_of_turn: str) -> None:
    for number, turn in enumerate(turns):
        written = text[turn.start : turn.end]
        wanted = [turn.message.content]
        if turn.message.train != "none" and turn.message.reasoning is not None and turn is turns[-1]:
            wanted.insert(0, turn.message.reasoning)
        position = 0
        for part in wanted:
            position = written.find(part, position)
            if position < 0:
                detail = f"assistant turn {number} does not stand in the rendered text as it was given"
                raise RenderError(RenderProblem.TEMPLATE_LOST_TEXT, detail)
            position += len(part)
        if not written.endswith(end_of_turn):
            raise RenderError(
                RenderProblem.TEMPLATE_LOST_TEXT, f"assistant turn {number} lacks its {end_of_turn}"
            )


def cut_thought(sample: Sample, reasoning: str) -> Sample:
    """Return `sample` with its thought replaced by `reasoning`, closed by force.

    Only `</think>` and the end token are trained: what the cut thought says must not be learnt, only that it ends
    here (Hermes 4 report, section 3.1).
    """
    answer = msgspec.structs.replace(sample.answer, reasoning=reasoning, train="close_think")
    messages = [*sample.prompt, answer]
    return msgspec.structs.replace(sample, id=f"{sample.id}#cut", messages=messages)


def without_thought(sample: Sample) -> Sample:
    """Return `sample` answered at once: the same answer, no thought."""
    answer = msgspec.structs.replace(sample.answer, reasoning=None)
    return msgspec.structs.replace(sample, id=f"{sample.id}#direct", messages=[*sample.prompt, answer])
