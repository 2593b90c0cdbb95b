"""A conversation rendered once, with the characters that the assistant wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import msgspec
from transformers import PreTrainedTokenizerFast

from data_filters.errors import UserError
from data_filters.samples import Message, Mode, Role, Sample
from hermes_train.chat.history import mode_of
from hermes_train.chat.marks import Marker, PartKind, PlacedPart
from hermes_train.chat.messages import function_of, template_messages
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.template import THINK_OPEN, control_tokens
from hermes_train.chat.template_facts import TemplateProbe
from hermes_train.chat.turns import TrainedTurn, TurnFinder, any_of
from hermes_train.recipe.schema import SystemPrompts

_TODAY = "2024-07-26"
"""What a template that asks for the date is told: Llama 3.1's own default. A document must not depend on the day."""


@dataclass(frozen=True, slots=True)
class GivenText:
    """Characters [start, end) of the rendered text that a message brought; `tags_allowed`: its think and tool tags are
    control tokens as in use."""

    start: int
    end: int
    role: Role
    tags_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text. `mode` is the mode that was asked for."""

    text: str
    turns: tuple[TrainedTurn, ...]
    given: tuple[GivenText, ...]
    mode: Mode


class Renderer:
    """Renders conversations with one template, for training, evaluation and the terminal."""

    def __init__(
        self,
        template: str,
        control_tokens: Sequence[str],
        bos_token: str | None,
        eos_token: str | None,
        system: SystemPrompts,
        seed: int = 0,
    ) -> None:
        """`control_tokens`: those of the tokenizer. Raises UserError for a template that ends no turn."""
        self.template = template
        self._bos_token = bos_token or ""
        self._eos_token = eos_token or ""
        self._system = system
        self._seed = seed
        self._control = any_of(control_tokens)
        probe = TemplateProbe(self._render_template, control_tokens, bos_token)
        self.facts = probe.facts()
        self._turns = TurnFinder(probe, self.facts, self._control)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, system: SystemPrompts, seed: int = 0) -> Renderer:
        """Return what renders with a tokenizer's own template. Raises UserError for one that cannot be trained with."""
        if not isinstance(tokenizer.chat_template, str):
            raise UserError(
                f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no single chat template; choose "
                "model.template llama3 or chatml"
            )
        return cls(
            tokenizer.chat_template,
            control_tokens(tokenizer),
            tokenizer.bos_token,
            tokenizer.eos_token,
            system,
            seed,
        )

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
        misuse them. Raises DocumentError.
        """
        mode = mode or mode_of(sample.messages)
        self._refuse_control_tokens(sample)
        messages = self._with_request(sample.messages, mode, sample.id)
        marker = Marker(_texts(messages, sample.tools))
        shown = self._without_hidden_thoughts(messages, keep_cots)
        given = template_messages(shown, self.facts.thought_field, marker.mark)
        text = self._render_template(
            given, sample.tools, thinking=mode is Mode.THINK, keep_cots=keep_cots, add_generation_prompt=False
        )
        text, placed = marker.unmark(text)
        answer = max(index for index, message in enumerate(messages) if message.role == "assistant")
        self._refuse_lost_text(text, placed, marker, messages, answer, keep_cots)
        return Rendered(
            text,
            tuple(self._turns.turns(text, placed, messages, mode, keep_cots)),
            tuple(
                GivenText(
                    place.start,
                    place.end,
                    (message := messages[place.part.message]).role,
                    message.role == "system" or (tags_in_answer and place.part.message == answer),
                )
                for place in placed
            ),
            mode,
        )

    def prompt(
        self, messages: Sequence[Message], tools: list[dict[str, Any]] | None, mode: Mode, identity: str = ""
    ) -> str:
        """Return the text after which the model answers in `mode`; `identity` draws among several system prompts.

        Raises DocumentError.
        """
        asked = self._with_request(messages, mode, identity)
        given = template_messages(
            self._without_hidden_thoughts(asked, keep_cots=False),
            self.facts.thought_field,
            lambda _, __, text: text,
        )
        return self._render_template(
            given, tools, thinking=mode is Mode.THINK, keep_cots=False, add_generation_prompt=True
        )

    def _render_template(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        *,
        thinking: bool,
        keep_cots: bool,
        add_generation_prompt: bool,
    ) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            texts, _ = render_jinja_template(
                conversations=[messages],
                tools=tools,
                chat_template=self.template,
                add_generation_prompt=add_generation_prompt,
                # The flag's names in our templates and in Qwen's.
                thinking=thinking,
                enable_thinking=thinking,
                keep_cots=keep_cots,
                bos_token=self._bos_token,
                eos_token=self._eos_token,
                strftime_now=_today,
            )
        # A template is a program of someone else's and fails in its own ways on a row that it does not expect.
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise DocumentError(Problem.TEMPLATE_REFUSED, str(error) or type(error).__name__) from error
        return str(texts[0])

    def _with_request(self, messages: Sequence[Message], mode: Mode, identity: str) -> list[Message]:
        """Ask for the mode by a system message where the template's flags do not."""
        prompts = self._system.think_prompts if mode is Mode.THINK else self._system.direct_prompts
        prompt = prompts[0] if len(prompts) == 1 else prompts[_draw(self._seed, identity, len(prompts))]
        if not messages or messages[0].role != "system":
            return [*([] if self._template_says(prompt, mode) else [Message("system", prompt)]), *messages]
        first, *rest = messages
        if (
            mode is Mode.DIRECT
            or self.facts.flag_asks_beside_system
            or THINK_OPEN in first.content
            or not prompt
        ):
            return list(messages)
        both = (prompt, first.content) if self._system.place == "before" else (first.content, prompt)
        return [msgspec.structs.replace(first, content="\n\n".join(both)), *rest]

    def _template_says(self, prompt: str, mode: Mode) -> bool:
        """Whether a conversation without a system message of its own needs none to be asked for a mode."""
        if not prompt or prompt in self.facts.bare_prompts[mode]:
            return True
        # A prompt that nobody chose does not go before a template with a flag of its own.
        chosen = mode.value in self._system.model_fields_set
        return self.facts.flag_asks and not chosen

    def _without_hidden_thoughts(self, messages: list[Message], keep_cots: bool) -> list[Message]:
        """Take out the thoughts that a template without a place for thoughts would show in history."""
        if keep_cots or self.facts.thought_field is not None:
            return messages
        last_user = max(
            (index for index, message in enumerate(messages) if message.role == "user"), default=-1
        )
        return [
            msgspec.structs.replace(message, reasoning=None) if index < last_user else message
            for index, message in enumerate(messages)
        ]

    def _refuse_control_tokens(self, sample: Sample) -> None:
        """Refuse control tokens in what stands unmarked in the text: tools, names and calls."""
        texts = [message.name for message in sample.messages if message.name]
        texts += [_calls_as_json(message) for message in sample.messages if message.tool_calls]
        if sample.tools:
            texts.append(json.dumps(sample.tools, ensure_ascii=False))
        for text in texts:
            if found := self._control.search(text):
                raise DocumentError(
                    Problem.CONTROL_TOKEN_IN_TEXT,
                    f"a name, a call or a tool's description contains {found[0]}",
                )

    def _refuse_lost_text(
        self,
        text: str,
        placed: list[PlacedPart],
        marker: Marker,
        messages: list[Message],
        answer: int,
        keep_cots: bool,
    ) -> None:
        """Refuse a template that leaves out, moves or changes what a message says."""
        found = {(place.part.message, place.part.kind) for place in placed}
        for part in marker.parts:
            if (part.message, part.kind) in found:
                continue
            message = messages[part.message]
            hidden = part.kind is PartKind.REASONING and part.message != answer and not keep_cots
            if not hidden:
                raise DocumentError(
                    Problem.TEMPLATE_LOST_TEXT,
                    f"the {part.kind} of message {part.message} ({message.role}) is missing from the rendered text",
                )
        spoken = [place for place in placed if messages[place.part.message].role == "assistant"]
        order = [place.part.message for place in spoken]
        if order != sorted(order):
            raise DocumentError(Problem.TEMPLATE_LOST_TEXT, "the assistant's turns are out of order")
        for place in placed:
            as_given = text[place.start : place.end]
            if as_given == place.part.text:
                continue
            if place in spoken or as_given not in _as_json(place.part.text):
                raise DocumentError(
                    Problem.TEMPLATE_LOST_TEXT,
                    f"the {place.part.kind} of message {place.part.message} is not rendered as it was given",
                )


def _texts(messages: Sequence[Message], tools: list[dict[str, Any]] | None) -> Iterable[str]:
    for message in messages:
        yield message.content
        yield message.reasoning or ""
        yield message.name or ""
        if message.tool_calls:
            yield _calls_as_json(message)
    if tools:
        yield json.dumps(tools, ensure_ascii=False)


def _calls_as_json(message: Message) -> str:
    # As templates see them: arguments may come as JSON text, whose escapes could hide anything.
    return json.dumps([function_of(call) for call in message.tool_calls or ()], ensure_ascii=False)


def _as_json(text: str) -> tuple[str, str]:
    return json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]


def _draw(seed: int, identity: str, count: int) -> int:
    """Return a number below `count` that depends on nothing but the arguments."""
    digest = hashlib.blake2b(f"{seed}\0system\0{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


def _today(form: str) -> str:
    from datetime import date

    return date.fromisoformat(_TODAY).strftime(form)
