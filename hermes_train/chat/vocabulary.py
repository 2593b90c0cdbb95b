"""The thought and tool tags as single tokens, by renaming reserved tokens or by adding rows.

Done once, on CPU, before any training: resizing embeddings under ZeRO-3 shards is where other pipelines lose weights.
The tags are not "special" tokens, so that `skip_special_tokens=True` leaves them in the text that parsers read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerFast

from hermes_train.chat.template import CONTROL_TAGS, ChatFormat

ROW_MULTIPLE = 128
"""Rows of an enlarged embedding are a multiple of this: tensor cores and tensor parallelism want round shapes."""

NOISE = 0.5
"""Noise of a new row, in standard deviations of the old rows."""

_RESERVED_PREFIX = "<|reserved_special_token_"


@dataclass(frozen=True)
class VocabularyChange:
    """What was done to the vocabulary. `renamed` maps a reserved token to its new name; `added` are new tokens."""

    renamed: dict[str, str]
    added: tuple[str, ...]
    pad_token: str
    rows_before: int = 0
    rows_after: int = 0


def plan_vocabulary(
    vocabulary: Sequence[str], chat_format: ChatFormat, eos_token: str | None
) -> VocabularyChange:
    """Decide which reserved tokens to rename, which tokens to add, and which one pads.

    `vocabulary` holds all token strings in order of their ids. Reserved tokens are taken from the lowest number up
    (our choice: which ids Hermes 4 renamed is not published). The pad token is never the end-of-turn token: a model
    trained with pad = EOS does not learn to stop.
    """
    known = set(vocabulary)
    wanted = [tag for tag in CONTROL_TAGS if tag not in known]
    reserved = [token for token in vocabulary if token.startswith(_RESERVED_PREFIX)]
    # All or none: tags half in reserved rows and half in new ones would help nobody.
    renamed = dict(zip(reserved, wanted, strict=False)) if len(reserved) >= len(wanted) else {}
    added = [] if renamed else wanted
    added += [token for token in chat_format.control_tokens if token not in known]
    taken = {chat_format.end_of_turn, eos_token}
    candidates = [token for token in chat_format.pad_candidates if token not in taken]
    pad_token = next((token for token in candidates if token in known), "<|pad|>")
    if pad_token not in known:
        added.append(pad_token)
    return VocabularyChange(renamed, tuple(added), pad_token)


def change_tokenizer(
    tokenizer: PreTrainedTokenizerFast, change: VocabularyChange, chat_format: ChatFormat
) -> PreTrainedTokenizerFast:
    """Return a new tokenizer with the change applied, its pad and end-of-turn tokens set; ids of others stay."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for entry in state["added_tokens"]:
        if entry["content"] in change.renamed:
            entry["content"] = change.renamed[entry["content"]]
            entry["special"] = False
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


@torch.no_grad()
def change_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, change: VocabularyChange
) -> tuple[int, int]:
    """Start every new or renamed token from the mean of the old rows, in the input embedding and the head.

    Half the old rows' spread is added as noise, the same at every run: tags that start out equal get equal gradients
    through the state before them, and a short training never tells `<think>` from `</think>`. Rows of no token, up to
    the next multiple of ROW_MULTIPLE, are zero. Returns (rows before, rows after).
    """
    before = model.get_input_embeddings().weight.shape[0]
    after = before
    if len(tokenizer) > before:
        after = -(-len(tokenizer) // ROW_MULTIPLE) * ROW_MULTIPLE
        model.resize_token_embeddings(after, mean_resizing=False)
    fresh = sorted(tokenizer.convert_tokens_to_ids([*change.renamed.values(), *change.added]))
    known = torch.ones(before, dtype=torch.bool)
    known[[row for row in fresh if row < before]] = False
    for weight in _embedding_weights(model):
        old = weight[:before][known].float()
        weight[before:] = 0
        noise = torch.randn(len(fresh), old.shape[1], generator=torch.Generator().manual_seed(0))
        weight[fresh] = (old.mean(dim=0) + NOISE * old.std(dim=0) * noise).to(weight.dtype)
    return before, after


def _embedding_weights(model: PreTrainedModel) -> list[torch.Tensor]:
    """Return the input embedding, and the head where it is a tensor of its own."""
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    if head is None or head.weight.data_ptr() == embedding.data_ptr():
        return [embedding]
    return [embedding, head.weight]


def check_round_trip(tokenizer: PreTrainedTokenizerFast) -> None:
    """Check that each tag is one token wherever it stands and decodes to itself.

    Raises ValueError naming the tag and the text.
    """
    for tag in CONTROL_TAGS:
        identity = tokenizer.convert_tokens_to_ids(tag)
        for text in (tag, f"a{tag}b", f'{{"a": "{tag}"}}', f"if x:\n    {tag}\n", f"é{tag}🙂"):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            if ids.count(identity) != 1 or tokenizer.decode(ids, skip_special_tokens=True) != text:
                raise ValueError(f"the tag {tag} does not survive the tokenizer in the text {text!r}")
