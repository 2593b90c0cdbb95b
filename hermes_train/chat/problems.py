"""Why a conversation cannot become a document: one closed list, for counts, reports and documentation."""

from __future__ import annotations

from enum import StrEnum


class Problem(StrEnum):
    """A reason for which a conversation is left out of training."""

    TEMPLATE_REFUSED = "template_refused"
    """The chat template raised an error: an order of roles or a kind of message that it does not know."""
    TEMPLATE_LOST_TEXT = "template_lost_text"
    """Something that a message says is missing from the rendered text, stands there twice, or was changed."""
    TURN_START_UNKNOWN = "turn_start_unknown"
    """Where the generation prompt ends cannot be told, so that the header would be trained."""
    TURN_END_UNKNOWN = "turn_end_unknown"
    """No end token follows an assistant's turn, so that the model would not learn to stop."""
    NO_TRAINED_TURN = "no_trained_turn"
    """Every assistant turn has `train: none`."""
    TRAIN_SPAN_OUTSIDE = "train_span_outside"
    """A span that is to be trained does not lie in the text that it names."""
    EMPTY_TURN = "empty_turn"
    """A trained turn says nothing: no thought, no text, no call."""
    CONTROL_TOKEN_IN_TEXT = "control_token_in_text"
    """A control token in the assistant's own text, in a tool's description or in a call (or, with `control_text: drop`,
    in anyone's text)."""
    UNKNOWN_CHARACTER = "unknown_character"
    """The tokenizer has no token for a character and writes a control token in its place."""
    CALL_NOT_JSON = "call_not_json"
    """The arguments of a call are a text that does not parse as JSON."""
    THINK_CLOSE_MISSING = "think_close_missing"
    """A thought that is to be closed by force has no closing tag."""
    BOS_COUNT = "bos_count"
    """The tokens hold another number of begin-of-text tokens than the template writes."""
    SPAN_SPLITS_TOKEN = "span_splits_token"
    """A token holds the edge of an assistant's turn, even when the text is cut there."""
    NO_LABEL = "no_label"
    """No token carries loss."""
    TOO_LONG = "too_long"
    """The document has more tokens than a pack."""
    PROMPTS_DIFFER = "prompts_differ"
    """The two sides of a preference pair do not share the tokens of their prompt."""


class DocumentError(ValueError):
    """A conversation that cannot become a document; `problem` is a stable slug, the message says where."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem
        self.detail = detail
