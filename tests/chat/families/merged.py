"""The oracle's way from pieces to labels where tokens are merged from many characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from transformers import PreTrainedTokenizerFast

from hermes_train.chat.labels import IGNORED
from hermes_train.chat.template import CONTROL_TAGS

from .pieces import By, Piece


def merged_tokens_and_labels(
    tokenizer: PreTrainedTokenizerFast, pieces: Iterable[Piece]
) -> tuple[list[int], list[int]]:
    """Return the tokens and labels of pieces whose model's turns are trained whole or not at all.

    The text is cut where the prompt of a trained turn ends, as it is in use, and inside what only looks like a control
    token; a token is trained when its first character is.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for text, trained in _segments(tokenizer, list(pieces)):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for identity, (start, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            tokens.append(identity)
            labels.append(identity if trained[start] else IGNORED)
    return tokens, labels


def _segments(tokenizer: PreTrainedTokenizerFast, pieces: list[Piece]) -> Iterator[tuple[str, list[bool]]]:
    """Yield texts that are tokenised apart, each with one flag a character: whether it is trained."""
    text = ""
    trained: list[bool] = []
    cuts = [0]
    was_learnt = False
    for piece in pieces:
        learnt = piece.message is not None and piece.message.train == "all"
        if piece.text:
            if learnt and not was_learnt:
                cuts.append(len(text))
            was_learnt = learnt
        if piece.by in (By.GIVEN, By.SYSTEM):
            cuts += [len(text) + cut for cut in _look_alikes(tokenizer, piece)]
        text += piece.text
        trained += [learnt] * len(piece.text)
    edges = [*cuts, len(text)]
    for start, end in pairwise(edges):
        yield text[start:end], trained[start:end]


def _look_alikes(tokenizer: PreTrainedTokenizerFast, piece: Piece) -> list[int]:
    allowed = CONTROL_TAGS if piece.by is By.SYSTEM else ()
    tokens = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    pattern = "|".join(map(re.escape, tokens))
    return [found.start() + 1 for found in re.finditer(pattern, piece.text) if found[0] not in allowed]
