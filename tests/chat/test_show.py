"""What people see of a document says which of its tokens carry loss, with and without colour."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Mode
from hermes_train.chat import show
from hermes_train.chat.labels import Document


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and one control token."""
    alphabet = {symbol: number for number, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|eot_id|>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def document(tokenizer: PreTrainedTokenizerFast, *parts: tuple[str, bool]) -> Document:
    """A document of texts, each trained or not."""
    ids: list[int] = []
    spans = []
    for text, is_trained in parts:
        start = len(ids)
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
        if is_trained:
            spans.append((start, len(ids)))
    token_spans = np.asarray(spans, dtype=np.int32).reshape(-1, 2)
    return Document("rows/0", "rows", Mode.DIRECT, np.asarray(ids, dtype=np.int32), token_spans)


ANSWERED = (("2+2?<|eot_id|>", False), ("4.\n<|eot_id|>", True), ("\n", False))


def test_signs_stand_around_trained_spans_and_control_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    shown = show.in_signs(document(tokenizer, *ANSWERED), tokenizer)

    assert shown == "2+2?‹<|eot_id|>›⟦4.\n‹<|eot_id|>›⟧\n"


def test_a_trained_span_at_the_end_is_closed(tokenizer: PreTrainedTokenizerFast) -> None:
    assert show.in_signs(document(tokenizer, ("a", False), ("b", True)), tokenizer) == "a⟦b⟧"


def test_a_look_alike_of_a_control_token_has_no_signs(tokenizer: PreTrainedTokenizerFast) -> None:
    cut = document(tokenizer, ("<", False), ("|eot_id|>", False), ("<|eot_id|>", False))

    assert show.in_signs(cut, tokenizer) == "<|eot_id|>‹<|eot_id|>›"


def test_a_character_of_several_tokens_is_one_piece(tokenizer: PreTrainedTokenizerFast) -> None:
    shown = list(show.pieces(document(tokenizer, ("é", False), ("🙂!", True)), tokenizer))

    assert shown == [
        show.Piece("é", False, False),
        show.Piece("🙂", True, False),
        show.Piece("!", True, False),
    ]


@given(parts=st.lists(st.tuples(st.text(min_size=1, max_size=20), st.booleans()), max_size=5))
def test_pieces_put_together_are_the_text_and_trained_ones_the_trained_text(
    tokenizer: PreTrainedTokenizerFast, parts: list[tuple[str, bool]]
) -> None:
    found = list(show.pieces(document(tokenizer, *parts), tokenizer))

    assert "".join(piece.text for piece in found) == "".join(text for text, _ in parts)
    trained = "".join(text for text, is_trained in parts if is_trained)
    assert "".join(piece.text for piece in found if piece.is_trained) == trained


def test_neighbouring_trained_tokens_have_different_grounds(tokenizer: PreTrainedTokenizerFast) -> None:
    shown = show.in_colour(document(tokenizer, *ANSWERED), tokenizer)

    styles = {shown.plain[span.start : span.end]: str(span.style) for span in shown.spans}
    assert "on #" in styles["4"] and "on #" in styles["."]
    assert styles["4"] != styles["."]
    assert "on #" not in styles["+"]
    assert shown.plain == "2+2?<|eot_id|>4.↵\n<|eot_id|>\n"


def test_control_tokens_are_underlined_where_there_is_colour(tokenizer: PreTrainedTokenizerFast) -> None:
    shown = show.in_colour(document(tokenizer, *ANSWERED), tokenizer)

    underlined = [
        shown.plain[span.start : span.end] for span in shown.spans if "underline" in str(span.style)
    ]
    assert underlined == ["<|eot_id|>", "<|eot_id|>"]


@pytest.mark.parametrize("look", ["colour", "signs"])
def test_a_row_cannot_command_the_terminal(tokenizer: PreTrainedTokenizerFast, look: str) -> None:
    hostile = document(tokenizer, ("\x1b[2J\x07\r\x9b1m", True))
    target = io.StringIO()
    console = Console(file=target, force_terminal=False, width=80)

    text = show.in_colour(hostile, tokenizer) if look == "colour" else show.in_signs(hostile, tokenizer)
    console.print(text, markup=False)

    assert not set("\x1b\x07\r\x9b") & set(target.getvalue())
    assert "␛[2J␇␍\\x9b1m" in target.getvalue()


def test_the_summary_counts_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert (
        show.summary(document(tokenizer, *ANSWERED)) == "rows/0 (rows, direct): 10 tokens, 4 of them trained"
    )
