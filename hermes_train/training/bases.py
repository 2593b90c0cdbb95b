"""Base models from a folder, the Hub, a GGUF in an installed package, or at random."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from data_filters.errors import UserError
from hermes_train.recipe.schema import ModelSection, RandomModel

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def load_base(section: ModelSection, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return the base model in float32 or as stored, on CPU, and its tokenizer. Raises UserError."""
    if section.random is not None:
        return random_llama(section.random, seed)
    base = section.base or ""
    if base.startswith("package:"):
        return _from_gguf(package_file(base))
    return _from_folder_or_hub(base, section)


def _from_folder_or_hub(base: str, section: ModelSection) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    looks_like_a_path = base.startswith((".", "/", "~")) or base.count("/") > 1
    if looks_like_a_path and not Path(base).expanduser().is_dir():
        raise UserError(
            f"model.base is {base}, but there is no such folder; give a model's folder or a Hub id"
        )
    place = str(Path(base).expanduser()) if looks_like_a_path else base
    options = {"revision": section.revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=DTYPES[section.dtype], **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot load model.base {base} (revision {section.revision}): {reason}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(
            f"model.base {base} has no fast tokenizer (tokenizer.json), which labels by offsets need"
        )
    return model, tokenizer


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


def _from_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    # What comes out of a GGUF counts as quantised, and trainers refuse it; its weights are plain tensors by now.
    config = loaded.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    return model, tokenizer


def random_llama(shape: RandomModel, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a Llama of random weights with a byte-level tokenizer that has Llama 3's control and reserved tokens."""
    tokenizer = _byte_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
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
    return LlamaForCausalLM(config), tokenizer


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
