"""Models and tokenizers loaded for training."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.integrations import is_deepspeed_zero3_enabled

from hermes_train.training.compute.attention import choose_attention
from hermes_train.training.weights.loading import load_partitioned


def load_for_training(
    folder: Path,
    attention: str,
    gradient_checkpointing: bool,
    dtype: torch.dtype = torch.float32,
    quantisation: BitsAndBytesConfig | None = None,
) -> PreTrainedModel:
    """Return the model in `folder`; where the Trainer's arguments say ZeRO-3, spread over the ranks.

    `dtype` is float32, the master copy whatever the precision of the compute, but where DeepSpeed keeps a master of its
    own, and beneath adapters, where weights stay as they are: there it is the dtype of the compute.
    """
    path = choose_attention(attention)
    if is_deepspeed_zero3_enabled():
        model = load_partitioned(folder, dtype, path)
    else:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=path,
            quantization_config=quantisation,
            # Weights of four bits are made on the GPU.
            device_map={"": torch.cuda.current_device()} if quantisation else None,
            trust_remote_code=False,
        )
    # The key-value cache makes packed documents see each other, without a word.
    model.config.use_cache = False
    if gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a prepared or trained model."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
