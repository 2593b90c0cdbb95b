"""Base models as folders of safetensors: a given folder, the Hub, a GGUF in an installed package, or random weights."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from data_filters.errors import UserError
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.training.weights.checkpoint_files import INDEX_FILE, SINGLE_FILE, shard_names

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_TEXT_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
"""Config, tokenizer, template and the index of the weights."""


@contextmanager
def base_folder(section: ModelSection, seed: int, scratch: Path) -> Iterator[Path]:
    """Give the base model as a folder with config.json, tokenizer and safetensors weights.

    A GGUF and random weights are first written as such a folder to `scratch`, which is removed at the end. Only these
    two are ever in memory whole. Raises UserError when there is no such base.
    """
    base = section.base or ""
    if section.random is None and not base.startswith("package:"):
        yield _given_folder(section) or _downloaded(base, section.revision)
        return
    # What a killed process left.
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        if section.random is not None:
            model, tokenizer = random_llama(section.random, seed)
            model.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
            # Not to be held while the folder is in use.
            del model
        else:
            _write_dequantised(package_file(base), scratch)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def base_texts(section: ModelSection) -> Iterator[Path]:
    """Give the base model as a folder with config.json and tokenizer alone: no weight is fetched, read or made.

    Raises UserError when there is no such base.
    """
    base = section.base or ""
    if section.random is None and not base.startswith("package:"):
        yield _given_folder(section) or _fetched(base, section.revision, _TEXT_FILES)
        return
    with TemporaryDirectory() as folder:
        if section.random is not None:
            tokenizer = _byte_tokenizer()
            _llama_config(section.random, tokenizer).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        else:
            place = _gguf_place(package_file(base))
            AutoConfig.from_pretrained(**place).save_pretrained(folder)
            AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
        yield Path(folder)


def _given_folder(section: ModelSection) -> Path | None:
    folder = section.given_folder
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"model.base is {section.base}, but there is no such folder; give a model's folder or a Hub id"
        )
    return folder


def _downloaded(base: str, revision: str) -> Path:
    """Return the folder of the Hub's cache that holds a model: its text files and the weights that its index names."""
    folder = _fetched(base, revision, _TEXT_FILES)
    # Repositories often hold the same weights a second time, in another form.
    return _fetched(base, revision, shard_names(folder) if (folder / INDEX_FILE).is_file() else [SINGLE_FILE])


def _fetched(base: str, revision: str, patterns: list[str]) -> Path:
    try:
        return Path(
            snapshot_download(base, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot fetch model.base {base} (revision {revision}): {reason}") from error


def load_base_config(folder: Path) -> PretrainedConfig:
    """Return the config of the base in `folder`. Raises UserError where there is none or its weights are quantised."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot read the config of the base in {folder}: {reason}") from error
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            f"the base in {folder} is quantised, and training needs whole weights; give the model that it was made from"
        )
    return config


def load_base_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the base in `folder`. Raises UserError where there is none that gives offsets."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot read the tokenizer of the base in {folder}: {reason}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(
            f"the base in {folder} has no fast tokenizer (tokenizer.json), which labels by offsets need"
        )
    return tokenizer


def package_file(base: str) -> Path:
    """Return the path of `package:NAME/FILE`. Raises UserError when the package or its file is missing."""
    name, _, inside = base.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"model.base is {base}, but the Python package {name} is not installed; try `make setup`"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    if not path.is_file():
        raise UserError(f"model.base is {base}, but the package has no file {inside}")
    return path


def _write_dequantised(gguf: Path, folder: Path) -> None:
    """Write what a GGUF holds as a model folder in float32."""
    place = _gguf_place(gguf)
    tokenizer = AutoTokenizer.from_pretrained(**place)
    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    # What comes out of a GGUF counts as quantised and is not saved, though its weights are plain tensors by now: a
    # second model takes the same tensors over.
    config = loaded.config
    del config.quantization_config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _gguf_place(gguf: Path) -> dict[str, str]:
    return {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}


def random_llama(shape: RandomModel, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a Llama of random weights with a byte-level tokenizer that has Llama 3's control and reserved tokens."""
    tokenizer = _byte_tokenizer()
    torch.manual_seed(seed)
    return LlamaForCausalLM(_llama_config(shape, tokenizer)), tokenizer


def _llama_config(shape: RandomModel, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.max_position_embeddings,
        tie_word_embeddings=shape.tied_embeddings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    control = [
        "begin_of_text",
        "end_of_text",
        "start_header_id",
        "end_header_id",
        "eot_id",
        "finetune_right_pad_id",
    ]
    reserved = [f"reserved_special_token_{number}" for number in range(8)]
    tokenizer.add_special_tokens([f"<|{name}|>" for name in (*control, *reserved)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    )
