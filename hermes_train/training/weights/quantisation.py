"""QLoRA: adapters over weights kept in four bits (https://arxiv.org/abs/2305.14314)."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from data_filters.errors import UserError
from hermes_train.recipe.training_sections import LoraSection


def quantisation(lora: LoraSection | None, zero_stage: int) -> Any:
    """Return transformers' configuration of a quantised load, or None for weights as they are stored.

    `zero_stage` is the one in force, 0 on a single rank. Raises UserError where four bits cannot be trained with.
    """
    if lora is None or lora.quantize == "none":
        return None
    wanted = f"lora.quantize is {lora.quantize}, "
    if not torch.cuda.is_available():
        raise UserError(f"{wanted}which needs a GPU, and this machine has none; take none")
    if zero_stage == 3:
        raise UserError(f"{wanted}but ZeRO-3 cannot spread weights of four bits; take parallel.zero_stage 2")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"{wanted}but the package bitsandbytes is not installed; pip install 'hermes-train[qlora]'"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=lora.quantize,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
