"""Conversations that a family's template knows, with the texts that upset renderers."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import strategies as st

from data_filters.samples import Message, Sample, TrainSpan

from .catalogue import OURS, PUBLIC, Family

_CONTROL_TOKENS = sorted({token for family in (*OURS, *PUBLIC) for token in family.added_tokens})
_NEARLY = [token[:-1] for token in _CONTROL_TOKENS] + [
    f"{token[:-1]} {token[-1]}" for token in _CONTROL_TOKENS
]
_CODE = [
    "def f(x):\n    return {'a': [1, 2]}\n",
    '{"name": "f", "arguments": {}}',
    "{{ messages }}",
    "{% endfor %}",
]
_BLANKS = ["\n\n", "\r\n", "\t", " ", "\u00a0", "\u2028", "\u200b", "\ufeff", "\x1c"]
_SIGNS = ["e\u0301", "ﬃ", "\U0001f9d1\U0001f3fd\u200d\U0001f680", "漢字", "עברית", "\x00", "\\n", '"', "\\"]
_TAGS = ["<|", "|>", "<", "</", "[", "[INST", "<thinking>", "&lt;think&gt;", "assistant\n", "user\n\n"]
_PRIVATE = ["\ue000", "\uf8ff", "\U000f0000"]
"""Characters with which the renderer might mark parts of its text."""
_HARD = [*_CODE, *_BLANKS, *_SIGNS, *_TAGS, *_PRIVATE]
_ANY = st.text(st.characters(exclude_categories=("Cs", "Co")), max_size=12)
_WORDS = st.sampled_from(["x", "so 4", "The answer is 42.", "é", "a b"])


def _texts(hard: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(_WORDS, _ANY, st.sampled_from(hard)), max_size=5).map("".join)


GIVEN_TEXTS = _texts(_HARD + _NEARLY + _CONTROL_TOKENS)
"""Texts of users and tools: they may spell any control token."""


@st.composite
def spoken(draw: st.DrawFn, family: Family, blank: bool = True) -> str:
    """A text of the assistant's: it may nearly spell control tokens, and be blank where `blank` says so."""
    text = draw(_texts(_HARD + _NEARLY))
    for token in family.added_tokens:
        text = text.replace(token, token[1:])
    return text if blank or text.strip() else f"{text}42"


def _thoughts(family: Family) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), st.just(""), spoken(family, blank=False))


_NAMES = st.sampled_from(["get", "get_weather", "f-2", "größe"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | _WORDS | st.sampled_from(_HARD + _NEARLY),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def _call(draw: st.DrawFn, family: Family) -> dict[str, Any]:
    call = {"name": draw(_NAMES), "arguments": draw(st.dictionaries(_WORDS, _VALUES, max_size=2))}
    text = repr(call)
    if any(token in text for token in family.added_tokens):
        call["arguments"] = {}
    return call if draw(st.booleans()) else {"type": "function", "function": call}


def _tool(name: str, description: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {}},
        },
    }


@st.composite
def _exchange(draw: st.DrawFn, family: Family) -> list[Message]:
    """A question, any calls and their results, and the answer."""
    messages = [Message("user", draw(GIVEN_TEXTS))]
    for _ in range(draw(st.integers(0, 2)) if family.calls != "none" else 0):
        calls = draw(st.lists(_call(family), min_size=1, max_size=2 if family.calls == "many" else 1))
        thought = draw(_thoughts(family)) if family.thought_beside_call else None
        beside = family.thought_beside_call and family.calls == "many"
        content = draw(st.one_of(st.just(""), spoken(family))) if beside else ""
        messages.append(Message("assistant", content, reasoning=thought, tool_calls=calls))
        messages += [Message("tool", draw(GIVEN_TEXTS), name="get") for _ in calls]
    answer = Message("assistant", draw(spoken(family, blank=False)), reasoning=draw(_thoughts(family)))
    return [*messages, answer]


@st.composite
def _any_order(draw: st.DrawFn, family: Family) -> list[Message]:
    """Messages of all roles as they come, at least one of them an answer."""
    roles = ["user", "assistant", "system"] + (["tool"] if family.calls != "none" else [])
    messages = [
        Message(role, draw(GIVEN_TEXTS))
        if role != "assistant"
        else Message(role, draw(spoken(family, blank=False)), reasoning=draw(_thoughts(family)))
        for role in draw(st.lists(st.sampled_from(roles), min_size=1, max_size=5))
    ]
    if not any(message.role == "assistant" for message in messages):
        messages.append(Message("assistant", draw(spoken(family, blank=False))))
    return messages


@st.composite
def samples(draw: st.DrawFn, family: Family) -> Sample:
    """A conversation that `family` can render, each answer trained whole, not at all, or in spans."""
    if family.any_order and draw(st.booleans()):
        messages = draw(_any_order(family))
    else:
        own = [Message("system", draw(GIVEN_TEXTS))] if draw(st.booleans()) else []
        exchanges = draw(st.lists(_exchange(family), min_size=1, max_size=3))
        messages = [*own, *(message for exchange in exchanges for message in exchange)]
    for message in messages:
        if message.role == "assistant" and draw(st.integers(0, 4)) == 0:
            message.train = draw(st.just("none") | _spans(message))
    messages[_last_answer(messages)].train = "all"
    tools = None
    if family.calls != "none" and draw(st.booleans()):
        tools = [_tool(draw(_NAMES), draw(spoken(family))) for _ in range(draw(st.integers(1, 2)))]
    return Sample(id=f"generated/{next(_numbers)}", source="s", messages=messages, tools=tools)


_numbers = count()


def _last_answer(messages: list[Message]) -> int:
    return max(index for index, message in enumerate(messages) if message.role == "assistant")


@st.composite
def _spans(draw: st.DrawFn, message: Message) -> str | list[TrainSpan]:
    """Spans of the message's content, or "none" where it has none."""
    length = len(message.content)
    if not message.content.strip():
        return "none"
    start = draw(st.integers(0, length - 1))
    return [TrainSpan("content", start, draw(st.integers(start + 1, length)))]
