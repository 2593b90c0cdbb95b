"""The thought and tool tags as single tokens, by renaming reserved tokens or by adding new ones.

Done once, on CPU, before any training: resizing embeddings under ZeRO-3 shards is where other pipelines lose weights.
The tags are not "special" tokens, so that `skip_special_tokens=True` leaves them in the text that parsers read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import AddedToken, PreTrainedTokenizerFast

from data_filters.errors import UserError
from hermes_train.chat.template import CONTROL_TAGS, FORMATS, THINK_CLOSE, THINK_OPEN, ChatFormat

_RESERVED_PREFIX = "<|reserved_special_token_"
_NEW_PAD = "<|pad|>"
_PLAIN = {"special": False, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
"""How a tag is matched: anywhere in a text, taking no space with it."""


@dataclass(frozen=True)
class VocabularyChange:
    """What is done to a vocabulary. `renamed` maps a reserved token to its new name; `added` are new tokens."""

    renamed: dict[str, str]
    added: tuple[str, ...]
    pad_token: str

    @property
    def fresh(self) -> tuple[str, ...]:
        """All tokens that the base does not know."""
        return (*self.renamed.values(), *self.added)


def tags_named_in(template: str) -> tuple[str, ...]:
    """Return the tags that a base with its own chat template needs: the think pair, and those that it names."""
    return tuple(tag for tag in CONTROL_TAGS if tag in (THINK_OPEN, THINK_CLOSE) or tag in template)


def own_format(tokenizer: PreTrainedTokenizerFast, end_tokens: Sequence[str]) -> ChatFormat:
    """Return the format of a base that keeps its own chat template, end-of-turn token and, where it can, pad token.

    `end_tokens` are the tokens at which its model stops, the one that ends a turn first; none of them may pad. Raises
    UserError where there is none.
    """
    if not end_tokens:
        raise UserError(
            "model.template is base, but neither the base's config nor its tokenizer names an end token; choose "
            "llama3 or chatml"
        )
    candidates = [
        tokenizer.pad_token,
        *(token for known in FORMATS.values() for token in known.pad_candidates),
    ]
    return ChatFormat(
        end_of_turn=end_tokens[0],
        control_tokens=(),
        pad_candidates=tuple(token for token in candidates if token is not None and token not in end_tokens),
    )


def plan_vocabulary(
    vocabulary: Sequence[str],
    chat_format: ChatFormat,
    eos_token: str | None,
    tags: Sequence[str] = CONTROL_TAGS,
) -> VocabularyChange:
    """Decide which reserved tokens to rename, which tokens to add, and which one pads.

    `vocabulary` holds all token strings in order of their ids. Reserved tokens are taken from the lowest id up, and
    only where there are enough for all that is missing, since otherwise the embedding has to grow anyway. For Llama-3.1
    this gives <think> 128002, </think> 128003, <tool_call> 128005, </tool_call> 128011, <tool_response> 128012 and
    </tool_response> 128013 (between them lie control tokens with names), and no row is added. It is our choice: which
    ids Hermes 4 renamed is not published.

    The pad token is never the end-of-turn token: a model trained with pad = EOS does not learn to stop.
    """
    known = set(vocabulary)
    taken = {chat_format.end_of_turn, eos_token}
    candidates = [token for token in chat_format.pad_candidates if token not in taken]
    pad_token = next((token for token in candidates if token in known), _NEW_PAD)
    wanted = [token for token in (*tags, *chat_format.control_tokens, pad_token) if token not in known]
    reserved = [token for token in vocabulary if token.startswith(_RESERVED_PREFIX)]
    if len(reserved) < len(wanted):
        return VocabularyChange({}, tuple(wanted), pad_token)
    return VocabularyChange(dict(zip(reserved, wanted, strict=False)), (), pad_token)


def change_tokenizer(
    tokenizer: PreTrainedTokenizerFast, change: VocabularyChange, chat_format: ChatFormat
) -> PreTrainedTokenizerFast:
    """Return a new tokenizer with the change applied, its pad and end-of-turn tokens set; ids of others stay."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for entry in state["added_tokens"]:
        entry["content"] = change.renamed.get(entry["content"], entry["content"])
        if entry["content"] in CONTROL_TAGS:
            entry.update(_PLAIN)
    vocabulary = state["model"]["vocab"]
    if isinstance(vocabulary, dict):
        # Some tokenizers list their added tokens in the base vocabulary as well.
        for old, new in change.renamed.items():
            if old in vocabulary:
                vocabulary[new] = vocabulary.pop(old)
    changed = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        bos_token=tokenizer.bos_token,
        eos_token=chat_format.end_of_turn,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
    )
    changed.add_tokens(
        [AddedToken(token, special=token not in CONTROL_TAGS, normalized=False) for token in change.added]
    )
    changed.pad_token = change.pad_token
    return changed


def check_round_trip(tokenizer: PreTrainedTokenizerFast, tags: Sequence[str] = CONTROL_TAGS) -> None:
    """Check that each tag is one token wherever it stands, and that the text around it comes back.

    Raises UserError naming the tag and the text.
    """
    for tag in tags:
        identity = tokenizer.convert_tokens_to_ids(tag)
        for text in (tag, f"a{tag}b", f'{{"a": "{tag}"}}', f"if x:\n    {tag}\n", f"é{tag}🙂"):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            if ids.count(identity) != 1 or tokenizer.decode(ids, skip_special_tokens=True) != text:
                raise UserError(
                    f"the tag {tag} does not survive the tokenizer in the text {text!r}; choose a base whose "
                    "tokenizer gives back the text it was given"
                )
