"""prepare: the base with its tags, template and end tokens, on CPU, once. Training never changes the vocabulary.

The weights are streamed from file to file: memory does not grow with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerFast

from data_filters.errors import UserError
from data_filters.files import write_folder_whole
from hermes_train.chat.render import Renderer
from hermes_train.chat.template import CONTROL_TAGS, FORMATS, ChatFormat, chat_template
from hermes_train.chat.vocabulary import (
    VocabularyChange,
    change_tokenizer,
    check_round_trip,
    own_format,
    plan_vocabulary,
    tags_named_in,
)
from hermes_train.recipe.schema import ModelSection
from hermes_train.training.weights.bases import (
    DTYPES,
    base_folder,
    base_texts,
    load_base_config,
    load_base_tokenizer,
)
from hermes_train.training.weights.checkpoint_changes import Changes, write_checkpoint
from hermes_train.training.weights.checkpoint_files import open_checkpoint
from hermes_train.training.weights.embeddings import (
    VocabularyTensors,
    find_vocabulary_tensors,
    new_rows,
    rows_after,
)


def prepare(section: ModelSection, seed: int, folder: Path) -> dict[str, Any]:
    """Write `folder/model`, whole or not at all. Returns the stage's figures.

    Raises UserError where the base cannot be used, and RunFailedError where the disk has no room.
    """
    with base_folder(section, seed, folder / "base") as base, write_folder_whole(folder / "model") as model:
        config = load_base_config(base)
        base_tokenizer = load_base_tokenizer(base)
        ends = _base_ends(base, config, base_tokenizer, section)
        tokenizer, change, tags = _change_vocabulary(section, base_tokenizer, ends)
        if section.template != "base":
            ends = _ends_of_format(tokenizer, base_tokenizer)
        tokenizer.save_pretrained(model)
        _generation_config(tokenizer, ends).save_pretrained(model)
        vocabulary, rows = _write_weights(base, config, tokenizer, change.fresh, DTYPES[section.dtype], model)
        _adapt_config(config, tokenizer, ends, rows, section)
        config.architectures = [vocabulary.architecture]
        config.save_pretrained(model)
    ids = tokenizer.convert_tokens_to_ids
    added = rows - vocabulary.rows
    return {
        **asdict(change),
        "token_ids": {token: ids(token) for token in dict.fromkeys((*tags, *change.fresh, change.pad_token))},
        "rows_before": vocabulary.rows,
        "rows_after": rows,
        "parameters": vocabulary.parameters + added * vocabulary.parameters_of_a_row,
        "tied_embeddings": vocabulary.tied,
        "end_of_turn": tokenizer.eos_token,
    }


def prepared_tokenizer(section: ModelSection) -> PreTrainedTokenizerFast:
    """Return the tokenizer that `prepare` writes, template included, without touching a weight. Raises UserError."""
    with base_texts(section) as base:
        tokenizer = load_base_tokenizer(base)
        ends = _base_ends(base, load_base_config(base), tokenizer, section)
        return _change_vocabulary(section, tokenizer, ends)[0]


def _change_vocabulary(
    section: ModelSection, base: PreTrainedTokenizerFast, ends: list[int]
) -> tuple[PreTrainedTokenizerFast, VocabularyChange, tuple[str, ...]]:
    """Return the tokenizer of the prepared model, with its template, what was changed in it, and its tags."""
    template = chat_template(section, _own_template(base))
    chat_format, tags = _wanted(section, base, template, ends)
    vocabulary = [token for token, _ in sorted(base.get_vocab().items(), key=lambda item: item[1])]
    change = plan_vocabulary(vocabulary, chat_format, base.eos_token, tags)
    tokenizer = change_tokenizer(base, change, chat_format)
    check_round_trip(tokenizer, tags)
    tokenizer.chat_template = template
    return tokenizer, change, tags


def _wanted(
    section: ModelSection, base: PreTrainedTokenizerFast, template: str, ends: list[int]
) -> tuple[ChatFormat, tuple[str, ...]]:
    if section.template == "base":
        return own_format(base, base.convert_ids_to_tokens(ends)), tags_named_in(template)
    return FORMATS[section.template], CONTROL_TAGS


def _own_template(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """Return the chat template that a tokenizer brings; of several, the one that is used where none is named."""
    own = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def _base_ends(
    base: Path, config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast, section: ModelSection
) -> list[int]:
    """Return the ids at which the base stops, as its generation config says, or else its config or its tokenizer.

    Where its own template is used, the tokens that end a turn there come first: a base may never have stopped at them.
    """
    ends = config.get_text_config().eos_token_id
    if (base / "generation_config.json").is_file():
        try:
            stated = GenerationConfig.from_pretrained(base).eos_token_id
        except (OSError, ValueError) as error:
            raise UserError(f"{base / 'generation_config.json'} cannot be read: {error}") from error
        ends = ends if stated is None else stated
    ends = tokenizer.eos_token_id if ends is None else ends
    own = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if section.template != "base":
        return own
    tokenizer.chat_template = chat_template(section, _own_template(tokenizer))
    stops = Renderer.of(tokenizer, section.system).facts.stops
    return list(dict.fromkeys([*tokenizer.convert_tokens_to_ids(list(stops)), *own]))


def _ends_of_format(tokenizer: PreTrainedTokenizerFast, base: PreTrainedTokenizerFast) -> list[int]:
    """Return the ids at which a model with one of our templates stops: its end of turn, and the base's end of text."""
    ends = [tokenizer.eos_token_id]
    if base.eos_token_id is not None and base.eos_token_id not in (tokenizer.eos_token_id, base.bos_token_id):
        ends.append(base.eos_token_id)
    return ends


def _generation_config(tokenizer: PreTrainedTokenizerFast, ends: list[int]) -> GenerationConfig:
    # Hermes 4's card recommends these for sampling.
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
    )


def _write_weights(
    base: Path,
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
    fresh: Sequence[str],
    dtype: torch.dtype,
    destination: Path,
) -> tuple[VocabularyTensors, int]:
    """Write the base's weights with rows for the `fresh` tokens. Returns what it had, and its rows afterwards."""
    checkpoint = open_checkpoint(base)
    vocabulary = find_vocabulary_tensors(config, checkpoint)
    tokens = max(tokenizer.get_vocab().values()) + 1
    total = rows_after(vocabulary.rows, tokens)
    # A tokenizer may have known more tokens than its model had rows.
    unknown = sorted({*tokenizer.convert_tokens_to_ids(list(fresh)), *range(vocabulary.rows, tokens)})
    changed = vocabulary.tensors if unknown else ()
    rows = {tensor.name: new_rows(tensor, total, unknown) for tensor in changed}
    write_checkpoint(checkpoint, Changes(dtype, rows, dropped=vocabulary.copies), destination)
    return vocabulary, total


def _adapt_config(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
    ends: list[int],
    rows: int,
    section: ModelSection,
) -> None:
    """Make the config that of the prepared model."""
    text = config.get_text_config()
    text.vocab_size = rows
    text.pad_token_id = tokenizer.pad_token_id
    text.eos_token_id = tokenizer.eos_token_id if section.template != "base" else ends
    config.dtype = DTYPES[section.dtype]
