"""Documents for people to look at: which tokens carry loss, where tokens end, which of them are control tokens.

In colour, a trained token has a green ground, in two shades that change from token to token; a control token is bold
and underlined. Where there is no colour, signs say the same, but for the token edges:

    ‹<|start_header_id|>›assistant‹<|end_header_id|>›

    ⟦The answer is 4.‹<|eot_id|>›⟧
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.text import Text
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast

from hermes_train.chat.labels import IGNORED, Document
from hermes_train.chat.template import control_tokens

TRAINED_SIGNS = ("⟦", "⟧")
CONTROL_SIGNS = ("‹", "›")

_TRAINED = ("black on #7fd08a", "black on #b9e8bf")
_CONTEXT = ("", "dim")
_CONTROL = "bold underline"
_LINE_END = "↵"
"""Makes a trained line end visible, which has no ground to colour."""

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {
    code: f"\\x{code:02x}" for code in range(0x7F, 0xA0)
}
"""Pictures of control characters: a row must not move the cursor of the terminal that it is shown on."""


class Piece(NamedTuple):
    """The text of one token, or of the few tokens that share its last character."""

    text: str
    is_trained: bool
    is_control: bool


def pieces(document: Document, tokenizer: PreTrainedTokenizerFast) -> Iterator[Piece]:
    """Yield the text of a document in pieces that begin and end at token edges."""
    control = set(tokenizer.convert_tokens_to_ids(control_tokens(tokenizer)))
    backend = tokenizer.backend_tokenizer
    stream = DecodeStream(skip_special_tokens=False)
    waiting: list[int] = []
    for token, is_trained in zip(
        document.input_ids.tolist(), (document.labels != IGNORED).tolist(), strict=True
    ):
        waiting.append(token)
        text = stream.step(backend, token)
        # None where a character goes on in the next token.
        if text is not None:
            yield Piece(text, is_trained, token in control)
            waiting.clear()
    if waiting:
        yield Piece(tokenizer.decode(waiting), bool(document.labels[-1] != IGNORED), False)


def in_colour(document: Document, tokenizer: PreTrainedTokenizerFast) -> Text:
    """Return the document as text whose styles tell trained tokens, token edges and control tokens."""
    shown = Text(end="")
    for number, piece in enumerate(pieces(document, tokenizer)):
        style = (_TRAINED if piece.is_trained else _CONTEXT)[number % 2]
        text = _visible(piece.text)
        if piece.is_trained:
            text = text.replace("\n", f"{_LINE_END}\n")
        shown.append(text, f"{style} {_CONTROL}" if piece.is_control else style)
    return shown


def in_signs(document: Document, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the document as text in which signs tell trained spans and control tokens."""
    shown: list[str] = []
    was_trained = False
    for piece in pieces(document, tokenizer):
        if piece.is_trained != was_trained:
            shown.append(TRAINED_SIGNS[was_trained])
            was_trained = piece.is_trained
        text = _visible(piece.text)
        shown.append(text.join(CONTROL_SIGNS) if piece.is_control else text)
    if was_trained:
        shown.append(TRAINED_SIGNS[1])
    return "".join(shown)


def colour_legend() -> Text:
    """Return one line that says what the colours mean."""
    return Text.assemble(
        ("carries ", _TRAINED[0]),
        ("loss", _TRAINED[1]),
        "  ",
        ("context ", _CONTEXT[0]),
        ("only", _CONTEXT[1]),
        "  ",
        ("control token", _CONTROL),
        f"  {_LINE_END} trained line end; shades change from token to token",
    )


def sign_legend() -> str:
    """Return one line that says what the signs mean."""
    return f"{'carries loss'.join(TRAINED_SIGNS)} {'control token'.join(CONTROL_SIGNS)}"


def summary(document: Document) -> str:
    """Return one line: the document's id, source, mode and counts of tokens."""
    counts = f"{len(document.input_ids)} tokens, {document.label_tokens} of them trained"
    return one_line(f"{document.id} ({document.source}, {document.mode}): {counts}")


def one_line(text: str) -> str:
    """Return a text of foreign make as one line that a terminal shows as it is."""
    return _visible(" ".join(text.split()))


def _visible(text: str) -> str:
    return text.translate(_PICTURES)
