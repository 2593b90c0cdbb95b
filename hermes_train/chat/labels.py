"""From rendered text to tokens and the spans of tokens that carry loss.

Labels are right by construction: they come from the characters that the assistant wrote, by the tokenizer's offsets.
Text is cut before it is tokenised where a token would otherwise join what must stay apart: a prompt and what the model
writes after it, and the characters of a user's text that spell a control token.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol

import numpy as np
from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Mode
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.render import GivenText, Rendered
from hermes_train.chat.template import CONTROL_TAGS, control_tokens
from hermes_train.chat.template_facts import TemplateFacts
from hermes_train.chat.turns import TrainedTurn

IGNORED = -100
"""The label of a token that carries no loss."""

_FIRST_SIGNS = ("a", "A", "4", "(", '"', "é", "漢", " a")
"""What an answer may begin with. What joins the prompt's last token is found text by text."""

_CUT_ROUNDS = 8
"""A cut may bring a shorter control token to light; after so many rounds the text is refused."""


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
    """The control tokens of a tokenizer.

    `is_control`: bool array over all ids. `tags`: the ids of the think and tool tags. `bos`: the begin-of-text token,
    and how often a document holds it (None: it also serves for other things).
    """

    is_control: np.ndarray
    tags: frozenset[int]
    turn_ends: frozenset[int]
    bos: int | None
    bos_count: int | None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, facts: TemplateFacts) -> ControlIds:
        """Read them off a tokenizer and its template."""
        identities = tokenizer.convert_tokens_to_ids
        control = identities(control_tokens(tokenizer))
        is_control = np.zeros(max([len(tokenizer) - 1, *control]) + 1, bool)
        is_control[control] = True
        begins = facts.begins_with_bos
        return cls(
            is_control,
            frozenset(identities([tag for tag in CONTROL_TAGS if tag in tokenizer.get_added_vocab()])),
            frozenset(identities(list(facts.turn_ends))),
            tokenizer.bos_token_id,
            None if begins is None or tokenizer.bos_token_id is None else int(begins),
        )


class _Tokens(Protocol):
    """Tokens of a text, by their characters; an Encoding of the tokenizers library is one."""

    @property
    def ids(self) -> list[int]: ...

    def char_to_token(self, char_pos: int) -> int | None: ...

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None: ...


class _Pieces:
    """A text that was tokenised in pieces, seen as one."""

    def __init__(self, pieces: Sequence[str], encodings: Sequence[Encoding]) -> None:
        self._encodings = encodings
        self.ids = [identity for encoding in encodings for identity in encoding.ids]
        self._chars = np.cumsum([0, *map(len, pieces)]).tolist()
        self._tokens = np.cumsum([0, *(len(encoding.ids) for encoding in encodings)]).tolist()

    def char_to_token(self, char_pos: int) -> int | None:
        piece = bisect_right(self._chars, char_pos) - 1
        if piece >= len(self._encodings):
            return None
        token = self._encodings[piece].char_to_token(char_pos - self._chars[piece])
        return None if token is None else token + self._tokens[piece]

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        # Of pieces without tokens that start at the same place the last one is taken, which has some.
        piece = bisect_right(self._tokens, token_index) - 1
        found = self._encodings[piece].token_to_chars(token_index - self._tokens[piece])
        return found and (found[0] + self._chars[piece], found[1] + self._chars[piece])


class Labeller:
    """Tokenises rendered conversations and labels them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, facts: TemplateFacts, control_text: str) -> None:
        """`control_text`: `as_text` takes what spells a control token in a user's text apart, `drop` refuses it."""
        # A copy: the settings of the tokenizer that was given stay as they are.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        # A tokenizer that writes a blank before each piece would put one into the middle of a word.
        prepends = self._backend.encode("a", add_special_tokens=False).tokens[:1] not in (["a"], [])
        self._take_apart = control_text == "as_text" and not prepends
        self.control = ControlIds.of(tokenizer, facts)
        self._cut_all_starts = any(
            self._prompt_tokens_vary(prompt) for prompt in facts.generation_prompts.values()
        )

    def tokenize(self, rendered: Sequence[Rendered]) -> list[tuple[np.ndarray, np.ndarray] | DocumentError]:
        """Return for each rendered text its (input_ids, label spans), both int32, or why it cannot be trained.

        One call of the tokenizer serves the whole batch. The template writes BOS, so the tokenizer adds nothing.
        """
        starts = [
            {turn.start for turn in item.turns} if self._cut_all_starts else set[int]() for item in rendered
        ]
        pieces = [_cut(item.text, cuts) for item, cuts in zip(rendered, starts, strict=True)]
        encodings = iter(
            self._backend.encode_batch([piece for each in pieces for piece in each], add_special_tokens=False)
        )
        results: list[tuple[np.ndarray, np.ndarray] | DocumentError] = []
        for item, each, cuts in zip(rendered, pieces, starts, strict=True):
            own = list(islice(encodings, len(each)))
            try:
                results.append(self._labelled(item, own[0] if len(own) == 1 else _Pieces(each, own), cuts))
            except DocumentError as error:
                results.append(error)
        return results

    def _prompt_tokens_vary(self, prompt: str) -> bool:
        """Whether the tokens of a generation prompt depend on what is written after it, as with GPT-2's rule for
        blanks: the model would be trained after other tokens than it is prompted with."""
        alone = self._backend.encode(prompt, add_special_tokens=False).ids
        return any(
            self._backend.encode(prompt + start, add_special_tokens=False).ids[: len(alone)] != alone
            for start in _FIRST_SIGNS
        )

    def _labelled(self, item: Rendered, tokens: _Tokens, cuts: set[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens and label spans of a text that was cut at `cuts`, once it is cut where it has to be."""
        for _ in range(_CUT_ROUNDS):
            input_ids = np.array(tokens.ids, np.int32)
            places = {
                token: tokens.token_to_chars(token) or (0, 0)
                for token in np.flatnonzero(self.control.is_control[input_ids]).tolist()
            }
            more = self._look_alikes(item, input_ids, places) | _joined_starts(item.turns, tokens)
            if not more - cuts:
                break
            cuts |= more
            pieces = _cut(item.text, cuts)
            tokens = _Pieces(pieces, self._backend.encode_batch(pieces, add_special_tokens=False))
        else:
            raise DocumentError(
                Problem.CONTROL_TOKEN_IN_TEXT, "a control token in the text cannot be taken apart"
            )
        if more:
            raise DocumentError(Problem.SPAN_SPLITS_TOKEN, "a token crosses the edge of the assistant's turn")
        control = self.control
        if (
            control.bos_count is not None
            and (found := int((input_ids == control.bos).sum())) != control.bos_count
        ):
            raise DocumentError(
                Problem.BOS_COUNT,
                f"{found} begin-of-text tokens where the template writes {control.bos_count}",
            )
        return input_ids, self._spans(item, tokens, input_ids, places)

    def _look_alikes(
        self, item: Rendered, input_ids: np.ndarray, places: dict[int, tuple[int, int]]
    ) -> set[int]:
        """Return where to cut what messages said and the tokenizer took for control tokens. Raises DocumentError."""
        starts = [given.start for given in item.given]
        cuts: set[int] = set()
        for token, (start, end) in places.items():
            # The last given text that starts before the token ends holds the token, or none does.
            at = bisect_right(starts, end - 1) - 1
            if at < 0 or item.given[at].end <= start:
                continue
            given = item.given[at]
            if given.tags_allowed and int(input_ids[token]) in self.control.tags:
                continue
            self._refuse_what_cannot_be_taken_apart(given, item.text[start:end], int(input_ids[token]))
            cuts.add(start + 1)
        return cuts

    def _refuse_what_cannot_be_taken_apart(self, given: GivenText, text: str, token: int) -> None:
        if (self._backend.id_to_token(token) or "") not in text:
            raise DocumentError(
                Problem.UNKNOWN_CHARACTER,
                f"the tokenizer has no token for {text!r} in a text of the {given.role}",
            )
        if given.role == "assistant" or not self._take_apart:
            raise DocumentError(Problem.CONTROL_TOKEN_IN_TEXT, f"a text of the {given.role} contains {text}")

    def _spans(
        self, item: Rendered, tokens: _Tokens, input_ids: np.ndarray, places: dict[int, tuple[int, int]]
    ) -> np.ndarray:
        at_character = {start: token for token, (start, _) in places.items()}
        spans = []
        for turn in item.turns:
            ending = at_character.get(turn.end)
            if ending is None or int(input_ids[ending]) not in self.control.turn_ends:
                raise DocumentError(
                    Problem.TURN_END_UNKNOWN, "a trained turn does not end in a control token"
                )
            for start, stop in turn.spans:
                first = at_character.get(start)
                first = _token_from(item.text, tokens, start, stop) if first is None else first
                last = ending if stop == turn.stop else _token_until(item.text, tokens, start, stop)
                if first is not None and last is not None:
                    spans.append((first, last + 1))
        if not spans:
            raise DocumentError(Problem.NO_LABEL, "no token carries loss")
        return np.array(spans, np.int32)


def _cut(text: str, cuts: set[int]) -> list[str]:
    """Return the pieces of a text between cuts."""
    return [text[start:end] for start, end in pairwise([0, *sorted(cuts), len(text)])] if cuts else [text]


def _joined_starts(turns: Sequence[TrainedTurn], tokens: _Tokens) -> set[int]:
    """Return the starts of turns that a token of the prompt runs across, such as blank lines that join."""
    joined = set()
    for turn in turns:
        token = tokens.char_to_token(turn.start)
        chars = None if token is None else tokens.token_to_chars(token)
        if chars is not None and chars[0] < turn.start:
            joined.add(turn.start)
    return joined


def _token_from(text: str, tokens: _Tokens, start: int, stop: int) -> int | None:
    """Return the first token of characters [start, stop), which may bring blanks from before them; None where they
    have none. Raises DocumentError for one that holds more from before them."""
    for character in range(start, stop):
        # Some tokenizers leave blanks out of their offsets.
        token = tokens.char_to_token(character)
        chars = None if token is None else tokens.token_to_chars(token)
        if chars is not None:
            _refuse_split(text[chars[0] : start])
            return token
    return None


def _token_until(text: str, tokens: _Tokens, start: int, stop: int) -> int | None:
    """Return the last token of characters [start, stop), which may bring blanks from after them; None where they have
    none. Raises DocumentError for one that holds more from after them."""
    for character in range(stop - 1, start - 1, -1):
        token = tokens.char_to_token(character)
        chars = None if token is None else tokens.token_to_chars(token)
        if token is not None and chars is not None:
            _refuse_split(text[stop : chars[1]])
            # Several tokens may share one character's bytes.
            while tokens.token_to_chars(token + 1) == chars:
                token += 1
            return token
    return None


def _refuse_split(outside: str) -> None:
    if outside.strip():
        raise DocumentError(
            Problem.SPAN_SPLITS_TOKEN,
            f"a token at the edge of what is trained also holds {outside!r}, which is not; move the edge of the span",
        )
