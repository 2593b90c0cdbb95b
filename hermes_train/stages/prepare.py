"""prepare: the base with its tags, template and end tokens, on CPU, once. Training never changes the vocabulary."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from data_filters.files import write_atomically
from hermes_train.chat.template import FORMATS, serving_template, training_template
from hermes_train.chat.vocabulary import (
    change_embeddings,
    change_tokenizer,
    check_round_trip,
    plan_vocabulary,
)
from hermes_train.recipe.schema import ModelSection
from hermes_train.training.bases import DTYPES, load_base

TEMPLATE_FILE = "template.jinja"
"""The template with its generation marks, for labels; the model's own chat_template has none."""


def prepare(section: ModelSection, seed: int, folder: Path) -> dict[str, Any]:
    """Write `folder/model` and `folder/template.jinja`. Returns the stage's figures. Raises UserError."""
    chat_format = FORMATS[section.template]
    model, tokenizer = load_base(section, seed)
    vocabulary = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    change = plan_vocabulary(vocabulary, chat_format, tokenizer.eos_token)
    base_end = tokenizer.eos_token_id
    tokenizer = change_tokenizer(tokenizer, change, chat_format)
    check_round_trip(tokenizer)
    before, after = change_embeddings(model, tokenizer, change)
    template = training_template(section)
    tokenizer.chat_template = serving_template(template)
    _set_token_ids(model, tokenizer, base_end)
    _write(model.to(DTYPES[section.dtype]), tokenizer, folder / "model")
    with write_atomically(folder / TEMPLATE_FILE) as file:
        file.write(template)
    change = replace(change, rows_before=before, rows_after=after)
    return {
        **asdict(change),
        "parameters": model.num_parameters(),
        "tied_embeddings": bool(model.config.tie_word_embeddings),
        "end_of_turn": chat_format.end_of_turn,
    }


def _set_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, base_end: int | None) -> None:
    """Tell the model and its generation config where a turn ends; the base's own end token still ends a text."""
    ends = [tokenizer.eos_token_id]
    if base_end is not None and base_end not in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        ends.append(base_end)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    # Hermes 4's card recommends these for sampling.
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
    )


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, destination: Path) -> None:
    aside = destination.with_name(destination.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    shutil.rmtree(destination, ignore_errors=True)
    aside.rename(destination)
