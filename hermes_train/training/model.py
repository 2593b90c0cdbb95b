"""Models loaded for training, and finished models saved whole."""

from __future__ import annotations

import copy
import importlib.util
import shutil
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from data_filters.errors import UserError
from data_filters.files import write_folder_whole

_KEEPS_DOCUMENTS_APART = {
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
}
"""Attention paths by the package that they need; SDPA, eager and flex come with PyTorch."""


def choose_attention(wanted: str) -> str:
    """Return the attention path to use. Every path named here keeps packed documents apart. Raises UserError."""
    if wanted == "auto":
        on_gpu = torch.cuda.is_available()
        installed = [
            name for name, package in _KEEPS_DOCUMENTS_APART.items() if importlib.util.find_spec(package)
        ]
        return installed[-1] if on_gpu and installed else "sdpa"
    package = _KEEPS_DOCUMENTS_APART.get(wanted)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f"model.attention is {wanted}, but the package {package} is not installed; try auto")
    return wanted


def load_for_training(folder: Path, attention: str, gradient_checkpointing: bool) -> PreTrainedModel:
    """Return the model in `folder` with float32 weights: the master copy, whatever the precision of the compute."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=choose_attention(attention), trust_remote_code=False
    )
    # The key-value cache makes packed documents see each other, without a word.
    model.config.use_cache = False
    if gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a prepared or trained model."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def save_model(
    state: dict[str, torch.Tensor], config: PretrainedConfig, origin: Path, destination: Path
) -> None:
    """Write a model folder, whole or not at all.

    `state` has the weights on CPU in the dtype to store. Tokenizer, template and generation config come from `origin`,
    the folder that the stage started from.
    """
    if config.tie_word_embeddings:
        state = {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
    stored = copy.deepcopy(config)
    stored.use_cache = True
    stored.dtype = next(iter(state.values())).dtype
    with write_folder_whole(destination) as aside:
        save_torch_state_dict(state, aside)
        stored.save_pretrained(aside)
        for file in origin.iterdir():
            if not file.name.startswith("model") and not (aside / file.name).exists():
                shutil.copy2(file, aside / file.name)
