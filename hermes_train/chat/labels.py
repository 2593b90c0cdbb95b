"""From rendered text to tokens and the spans of tokens that carry loss.

Labels are right by construction: they come from the character spans that the template's own assistant turns cover, by
the tokenizer's offsets. Each document is checked before it may be trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Mode
from hermes_train.chat.render import Rendered, TurnSpan

IGNORED = -100
"""The label of a token that carries no loss."""


class LabelProblem(StrEnum):
    """Why a rendered conversation cannot be trained."""

    SPAN_SPLITS_TOKEN = "span_splits_token"
    NO_LABEL = "no_label"
    END_NOT_LABELLED = "end_not_labelled"
    BOS_COUNT = "bos_count"
    THINK_CLOSE_MISSING = "think_close_missing"


class LabelError(ValueError):
    """A document that cannot be trained; `problem` is a stable slug, the message says why."""

    def __init__(self, problem: LabelProblem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem


@dataclass(frozen=True)
class Document:
    """One tokenised, labelled conversation.

    `input_ids`: int32 array of the document's tokens. `spans`: int32 array of shape (n, 2); the tokens [start, end) of
    each row carry loss, and no others do.
    """

    id: str
    source: str
    mode: Mode
    input_ids: np.ndarray
    spans: np.ndarray

    @property
    def label_tokens(self) -> int:
        """How many tokens carry loss."""
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    @property
    def labels(self) -> np.ndarray:
        """int32 array: the token where it carries loss, IGNORED elsewhere."""
        return labels_from_spans(self.input_ids, self.spans)


def labels_from_spans(input_ids: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return int32 labels: `input_ids` within the token spans (n, 2), IGNORED elsewhere."""
    labels = np.full(len(input_ids), IGNORED, dtype=np.int32)
    for start, end in spans:
        labels[start:end] = input_ids[start:end]
    return labels


@dataclass(frozen=True)
class ControlIds:
    """Token ids that labels depend on. `bos` is None for a tokenizer without one in its template."""

    end_of_turn: int
    think_close: int
    bos: int | None


def tokenize(
    tokenizer: PreTrainedTokenizerFast, rendered: Sequence[Rendered], control: ControlIds
) -> list[tuple[np.ndarray, np.ndarray] | LabelError]:
    """Return for each rendered text its (input_ids, label spans), or the reason why it cannot be trained.

    One call of the tokenizer serves the whole batch. The template writes BOS, so the tokenizer adds nothing.
    """
    encoded = tokenizer(
        [item.text for item in rendered],
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
    )
    results: list[tuple[np.ndarray, np.ndarray] | LabelError] = []
    for item, ids, offsets in zip(rendered, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        input_ids = np.asarray(ids, dtype=np.int32)
        try:
            spans = label_spans(
                item.turns, input_ids, np.asarray(offsets, dtype=np.int64).reshape(-1, 2), control
            )
        except LabelError as error:
            results.append(error)
        else:
            results.append((input_ids, spans))
    return results


def label_spans(
    turns: Sequence[TurnSpan], input_ids: np.ndarray, offsets: np.ndarray, control: ControlIds
) -> np.ndarray:
    """Return the token spans (n, 2) that carry loss, int32.

    `offsets` (tokens, 2) holds each token's characters. A turn that is trained whole gives one span from the first
    token after its header to its end token; `close_think` gives the closing tag and the end token alone. Raises
    LabelError.
    """
    if control.bos is not None and (found := int((input_ids == control.bos).sum())) != 1:
        raise LabelError(LabelProblem.BOS_COUNT, f"{found} begin-of-text tokens; a document has exactly one")
    spans: list[tuple[int, int]] = []
    for turn in turns:
        if turn.message.train == "none":
            continue
        start, end = _token_range(turn, offsets)
        if end == start or input_ids[end - 1] != control.end_of_turn:
            raise LabelError(
                LabelProblem.END_NOT_LABELLED, "a trained turn does not end in the end-of-turn token"
            )
        if turn.message.train == "close_think":
            spans += [_think_close(input_ids, start, end, control), (end - 1, end)]
        else:
            spans.append((start, end))
    if not spans:
        raise LabelError(LabelProblem.NO_LABEL, "no token carries loss")
    return np.asarray(spans, dtype=np.int32)


def _token_range(turn: TurnSpan, offsets: np.ndarray) -> tuple[int, int]:
    """Return the tokens [start, end) that lie in the turn's characters; refuse a token that crosses its edge."""
    # Byte-level tokens can share a character: a token belongs to the span that holds its first character.
    start = int(np.searchsorted(offsets[:, 0], turn.start, side="left"))
    end = int(np.searchsorted(offsets[:, 0], turn.end, side="left"))
    crosses_start = start > 0 and offsets[start - 1, 1] > turn.start
    crosses_end = end > 0 and offsets[end - 1, 1] > turn.end
    if crosses_start or crosses_end:
        raise LabelError(LabelProblem.SPAN_SPLITS_TOKEN, "a token crosses the edge of the assistant's turn")
    return start, end


def _think_close(input_ids: np.ndarray, start: int, end: int, control: ControlIds) -> tuple[int, int]:
    found = np.flatnonzero(input_ids[start:end] == control.think_close)
    if len(found) != 1:
        raise LabelError(
            LabelProblem.THINK_CLOSE_MISSING, f"{len(found)} closing tags in a thought cut at its budget"
        )
    position = start + int(found[0])
    return position, position + 1
