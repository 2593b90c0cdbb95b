"""What an oracle is written in: pieces of text, who brought each, and the slow, obvious way from them to labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Message, Sample
from hermes_train.chat.labels import IGNORED
from hermes_train.chat.template import CONTROL_TAGS

THINK_PROMPT = "Think first."
DIRECT_PROMPT = "Answer at once."


class By(Enum):
    """Who brought a piece."""

    TEMPLATE = auto()
    """Control tokens are meant; never trained."""
    GIVEN = auto()
    """A user or a tool: what looks like a control token is text."""
    SYSTEM = auto()
    """The same, but think and tool tags are meant."""
    MODEL = auto()
    """What the model has to write by itself."""


@dataclass(frozen=True)
class Piece:
    """A piece of a conversation's text.

    `part`: what of `message` the model's piece is: "reasoning", "content", "close" (the tag that closes the thought),
    "end" (the end token) or "" for the form around them. `skipped`: how many characters of that part came before it.
    """

    text: str
    by: By
    message: Message | None = None
    part: str = ""
    skipped: int = 0


def frame(text: str) -> Piece:
    """Return a piece that the template writes."""
    return Piece(text, By.TEMPLATE)


def given(message: Message, text: str | None = None) -> Piece:
    """Return what a message that is not the assistant's says, or the form of it that the template writes."""
    by = By.SYSTEM if message.role == "system" else By.GIVEN
    return Piece(message.content if text is None else text, by)


def said(message: Message, text: str, part: str = "") -> Piece:
    """Return a piece that the model has to write."""
    return Piece(text, By.MODEL, message, part)


def trimmed(message: Message) -> Piece:
    """Return the assistant's content without its outer blanks."""
    text = message.content.strip()
    return Piece(text, By.MODEL, message, "content", message.content.find(text))


def thought_in_tags(message: Message, thought: str, after: str = "\n") -> list[Piece]:
    """Return `thought` as the model writes it between think tags."""
    return [
        said(message, "<think>\n"),
        said(message, thought, "reasoning"),
        said(message, "\n"),
        said(message, "</think>", "close"),
        said(message, after),
    ]


@dataclass(frozen=True)
class Chat:
    """A conversation as a template is asked to render it."""

    messages: Sequence[Message]
    tools: list[dict[str, Any]] | None
    thinking: bool
    keep: bool

    def shows_thought(self, index: int) -> bool:
        """Whether message `index` still has the thought that it was given: it does after the last question."""
        users = [place for place, message in enumerate(self.messages) if message.role == "user"]
        return self.messages[index].reasoning is not None and (self.keep or not users or index > users[-1])


def chats(sample: Sample, history: str, flag_asks: bool, flag_asks_beside_system: bool) -> Iterator[Chat]:
    """Yield the conversations that `sample` is trained as under a history policy, with the request for their mode.

    `flag_asks`: the template itself asks for the mode, `flag_asks_beside_system`: also beside a system message.
    """
    for messages in _expanded(sample.messages) if history == "expand" else [_in_one_mode(sample.messages)]:
        thinking = _thinks_at_last(messages)
        prompt = THINK_PROMPT if thinking else DIRECT_PROMPT
        first, *rest = messages
        if first.role != "system":
            asked = messages if flag_asks else [Message("system", prompt), *messages]
        elif not thinking or flag_asks_beside_system or "<think>" in first.content:
            asked = messages
        else:
            asked = [Message("system", f"{prompt}\n\n{first.content}"), *rest]
        yield Chat(asked, sample.tools, thinking, history == "keep")


def _thinks_at_last(messages: Sequence[Message]) -> bool:
    """Whether any turn after the last question has a thought."""
    asked = [place for place, message in enumerate(messages) if message.role == "user"]
    after = messages[asked[-1] :] if asked else messages
    return any(message.reasoning is not None for message in after)


def _in_one_mode(messages: list[Message]) -> list[Message]:
    """Return the messages up to the last answer; those that answer in another mode than the last are not trained."""
    end = max(place for place, message in enumerate(messages) if message.role == "assistant") + 1
    thinking = _thinks_at_last(messages[:end])
    shown = []
    for place, message in enumerate(messages[:end]):
        later = [at for at in range(place + 1, end) if messages[at].role == "user"]
        answers = messages[: later[0] if later else end]
        other = message.role == "assistant" and _thinks_at_last(answers) is not thinking
        shown.append(msgspec.structs.replace(message, train="none") if other else message)
    return shown


def _expanded(messages: list[Message]) -> Iterator[list[Message]]:
    for index, message in enumerate(messages):
        if message.role == "assistant" and message.train != "none":
            before = [
                msgspec.structs.replace(earlier, train="none") if earlier.role == "assistant" else earlier
                for earlier in messages[:index]
            ]
            yield [*before, message]


def tokens_and_labels(
    tokenizer: PreTrainedTokenizerFast, pieces: Iterable[Piece]
) -> tuple[list[int], list[int]]:
    """Return the tokens of the pieces one after the other, and their labels.

    For a tokenizer whose tokens are single bytes and control tokens: pieces cannot grow together.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for piece in pieces:
        for text, trained in _by_characters(piece) if piece.by is By.MODEL else [(piece.text, False)]:
            ids = _encode(tokenizer, text, piece.by)
            tokens += ids
            labels += ids if trained else [IGNORED] * len(ids)
    return tokens, labels


def _by_characters(piece: Piece) -> Iterator[tuple[str, bool]]:
    """Yield the model's piece whole or, where spans of it are trained, character by character."""
    assert piece.message is not None
    train = piece.message.train
    if isinstance(train, str):
        yield piece.text, train == "all" or (train == "close_think" and piece.part in ("close", "end"))
    elif piece.part == "end":
        length = len(piece.message.content)
        yield piece.text, any(span.part == "content" and span.end == length for span in train)
    elif piece.part not in ("reasoning", "content"):
        yield piece.text, False
    else:
        for place, character in enumerate(piece.text, piece.skipped):
            yield character, any(span.part == piece.part and span.start <= place < span.end for span in train)


def _encode(tokenizer: PreTrainedTokenizerFast, text: str, by: By) -> list[int]:
    if by in (By.TEMPLATE, By.MODEL):
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    if by is By.GIVEN:
        return byte_ids(text)
    known = [tag for tag in CONTROL_TAGS if tag in tokenizer.get_added_vocab()]
    ids: list[int] = []
    for part in re.split(f"({'|'.join(known)})", text):
        ids += [tokenizer.convert_tokens_to_ids(part)] if part in known else byte_ids(part)
    return ids


def byte_ids(text: str) -> list[int]:
    """Return the tokens of a text that is only text: the numbers of its bytes in GPT-2's alphabet, sorted."""
    return [_BYTE_IDS[byte] for byte in text.encode()]


def _byte_ids() -> dict[int, int]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(moved)}
    order = sorted(symbols.values())
    return {byte: order.index(symbol) for byte, symbol in symbols.items()}


_BYTE_IDS = _byte_ids()
