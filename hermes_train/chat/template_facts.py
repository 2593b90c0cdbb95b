"""What a chat template does, learnt by rendering small conversations with it: no template is known by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_filters.errors import UserError
from data_filters.samples import Message, Mode
from hermes_train.chat.marks import Marker, PartKind, PlacedPart
from hermes_train.chat.messages import THOUGHT_FIELDS, template_messages
from hermes_train.chat.problems import DocumentError

_ASKED = Message("user", "What is 6 times 7?")
_ANSWER = Message("assistant", "It is 42.")
_THOUGHT = Message("assistant", "It is 42.", reasoning="6 times 7 is 42.")
_SYSTEM = Message("system", "Be brief.")
_CALL = Message(
    "assistant",
    "",
    tool_calls=[{"function": {"name": "multiply", "arguments": {"first": 6, "second": 7}}}],
)
_RESULT = Message("tool", "42", name="multiply")
_TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "multiply",
            "description": "Multiply two numbers.",
            "parameters": {
                "type": "object",
                "properties": {"first": {"type": "number"}, "second": {"type": "number"}},
                "required": ["first", "second"],
            },
        },
    }
]

RenderTemplate = Callable[..., str]
"""Called with (messages as dictionaries, tools, thinking=, keep_cots=, add_generation_prompt=); returns the text and
raises DocumentError."""


@dataclass(frozen=True)
class TemplateFacts:
    """What is the same for all conversations that a template renders."""

    thought_field: str | None
    """The field in which it reads a thought; None where it knows none."""
    turn_ends: tuple[str, ...]
    """The control tokens that end an assistant's turn."""
    begins_with_bos: bool | None
    """Whether it writes the begin-of-text token, once; None where that token also serves for other things."""
    flag_asks: bool
    """Whether its flags alone tell the model which mode is asked for."""
    flag_asks_beside_system: bool
    """The same where the conversation has a system message of its own."""
    generation_prompts: dict[Mode, str]
    """What it writes after a conversation for the assistant to go on from."""
    bare_prompts: dict[Mode, str]
    """All that it writes for a question without a system message."""
    stops: tuple[str, ...]
    """Those of `turn_ends` after which nothing follows: a server must stop at them."""


class TemplateProbe:
    """Renders the small conversations."""

    def __init__(self, render: RenderTemplate, control_tokens: Sequence[str], bos_token: str | None) -> None:
        """`control_tokens`: the tokenizer's special tokens, one of which has to end a turn."""
        self._render = render
        self._control_tokens = control_tokens
        self._bos_token = bos_token
        self._thought_field: str | None = None

    def facts(self) -> TemplateFacts:
        """Return what the template does. Raises UserError for one that renders no conversation or ends no turn."""
        try:
            text, parts = self._placed([_ASKED, _ANSWER, _ASKED])
        except DocumentError as error:
            raise UserError(
                f"the chat template cannot render a plain conversation: {error.detail}"
            ) from error
        self._thought_field = self._find_thought_field()
        stops = self._stops()
        in_the_middle = self._first_control(text[parts[1].end : parts[2].start])
        return TemplateFacts(
            thought_field=self._thought_field,
            turn_ends=tuple(dict.fromkeys(filter(None, (in_the_middle, *stops)))),
            stops=stops,
            begins_with_bos=self._bos(text),
            flag_asks=self._differs_by_mode([_ASKED]),
            flag_asks_beside_system=self._differs_by_mode([_SYSTEM, _ASKED]),
            generation_prompts={mode: self._generation_prompt(mode) for mode in Mode},
            bare_prompts={mode: self._placed([_ASKED], mode=mode, prompt=True)[0] for mode in Mode},
        )

    def prompt_after(self, role: str | None, mode: Mode) -> str | None:
        """Return what stands between the text of a last message of `role` and the first character that the assistant
        writes in `mode`; None where the template renders no such conversation."""
        conversation = {
            "user": [_ASKED],
            "assistant": [_ASKED, _ANSWER],
            "tool": [_ASKED, _CALL, _RESULT],
            "system": [_SYSTEM],
        }.get(role or "")
        if conversation is None:
            return None
        tools = _TOOLS if role == "tool" else None
        try:
            text, parts = self._placed(conversation, tools, mode=mode, prompt=True)
        except DocumentError:
            return None
        last = [place for place in parts if place.part.message == len(conversation) - 1]
        return text[last[-1].end :] if last else None

    def _placed(
        self,
        messages: Sequence[Message],
        tools: list[dict[str, Any]] | None = None,
        mode: Mode = Mode.DIRECT,
        prompt: bool = False,
    ) -> tuple[str, list[PlacedPart]]:
        marker = Marker([])
        given = template_messages(messages, self._thought_field, marker.mark)
        text = self._render(
            given, tools, thinking=mode is Mode.THINK, keep_cots=True, add_generation_prompt=prompt
        )
        text, placed = marker.unmark(text)
        return text, placed

    def _find_thought_field(self) -> str | None:
        for field in THOUGHT_FIELDS:
            self._thought_field = field
            try:
                _, parts = self._placed([_ASKED, _THOUGHT], mode=Mode.THINK)
            except DocumentError:
                continue
            if any(place.part.kind is PartKind.REASONING for place in parts):
                return field
        return None

    def _stops(self) -> tuple[str, ...]:
        """Return the tokens that end a last turn; one that ends in a call may have an end of its own."""
        text, parts = self._placed([_ASKED, _ANSWER])
        answered = self._first_control(text[parts[-1].end :])
        if answered is None:
            raise UserError(
                "the chat template ends an assistant's turn with no special token, so that no model could learn to "
                f"stop; after the answer it writes {text[parts[-1].end :]!r}"
            )
        try:
            text, parts = self._placed([_ASKED, _CALL], _TOOLS)
        except DocumentError:
            return (answered,)
        called = self._last_control(text[parts[-1].end :]) if parts[-1].part.kind is PartKind.CALL else None
        return tuple(dict.fromkeys(filter(None, (answered, called))))

    def _first_control(self, text: str) -> str | None:
        found = [(text.find(token), -len(token), token) for token in self._control_tokens if token in text]
        return min(found)[2] if found else None

    def _last_control(self, text: str) -> str | None:
        found = [(text.rfind(token), len(token), token) for token in self._control_tokens if token in text]
        return max(found)[2] if found else None

    def _bos(self, text: str) -> bool | None:
        count = text.count(self._bos_token) if self._bos_token else 0
        return None if count > 1 else count == 1

    def _differs_by_mode(self, messages: list[Message]) -> bool:
        try:
            thinking, direct = (self._placed(messages, mode=mode, prompt=True)[0] for mode in Mode)
        except DocumentError:
            return False
        return thinking != direct

    def _generation_prompt(self, mode: Mode) -> str:
        without, _ = self._placed([_ASKED], mode=mode)
        prompt, _ = self._placed([_ASKED], mode=mode, prompt=True)
        return prompt.removeprefix(without)
