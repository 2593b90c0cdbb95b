"""How long the thoughts are that documents train, and which documents a budget keeps out.

Training on the very thoughts that ran past the budget teaches to think on: in the Hermes 4 report it raised the share
of thoughts that never end (version 2, table 5).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from transformers import PreTrainedTokenizerFast

from data_filters.samples import Mode
from hermes_train.chat.template import THINK_CLOSE, THINK_OPEN
from hermes_train.packing.mixture import MODES
from hermes_train.packing.store import TokenStore


class ThoughtRuler:
    """Measures the trained thoughts of documents, in tokens; the blanks beside the tags do not count."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._open, self._close = tokenizer.convert_tokens_to_ids([THINK_OPEN, THINK_CLOSE])

        @lru_cache(maxsize=1024)
        def is_blank(token: int) -> bool:
            return not tokenizer.decode([token]).strip()

        self._is_blank: Callable[[int], bool] = is_blank

    def longest(self, input_ids: np.ndarray, spans: np.ndarray) -> int:
        """Return the tokens of the longest thought that carries loss: `input_ids` (n,), `spans` (m, 2) of them.

        A thought lies between its tags; one that the prompt opened begins with its span, and one that nothing closes
        ends with it. A span that begins with the closing tag trains no thought.
        """
        return max((self._in_span(input_ids[start:end]) for start, end in spans), default=0)

    def _in_span(self, tokens: np.ndarray) -> int:
        closes = np.flatnonzero(tokens == self._close)
        opens = np.flatnonzero(tokens == self._open)
        if not len(closes) and not len(opens):
            return 0
        start = int(opens[0]) + 1 if len(opens) else 0
        end = int(closes[0]) if len(closes) else len(tokens)
        inside = [place for place in range(start, end) if not self._is_blank(int(tokens[place]))]
        return inside[-1] - inside[0] + 1 if inside else 0


class BudgetGuard:
    """Tells which documents of a store train no thought longer than `budget` tokens."""

    def __init__(self, store: TokenStore, ruler: ThoughtRuler, budget: int) -> None:
        self._store, self._ruler, self._budget = store, ruler, budget
        # A document that has no more labels than that needs no look inside.
        self._could_be_longer = (store.modes() == MODES.index(Mode.THINK)) & (store.label_tokens() > budget)

    def lets_in(self, number: int) -> bool:
        """Return whether a document may be trained."""
        if not self._could_be_longer[number]:
            return True
        thought = self._ruler.longest(self._store.input_ids(number), self._store.spans(number))
        return thought <= self._budget


def within_budget(store: TokenStore, ruler: ThoughtRuler, budget: int) -> np.ndarray:
    """Return for each document whether it trains no thought longer than `budget` tokens, bool."""
    guard = BudgetGuard(store, ruler, budget)
    return np.fromiter(map(guard.lets_in, range(len(store))), bool, len(store))
