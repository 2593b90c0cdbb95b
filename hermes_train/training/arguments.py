"""What the Trainer is told, from the sections of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate.parallelism_config import ParallelismConfig

from data_filters.errors import UserError
from hermes_train.recipe.training_sections import (
    DpoSection,
    LoraSection,
    PackTrainingSection,
    ParallelSection,
    TrainingSection,
)
from hermes_train.training.timeouts import collective_timeout
from hermes_train.training.zero import deepspeed_config, ranks_of_a_pack


def accumulation_steps(training: TrainingSection, ranks: int) -> int:
    """Return the micro-batches that each rank adds up in a step. Raises UserError when the batch does not divide.

    Ranks that share their packs count as one.
    """
    at_once = training.micro_batch * ranks
    if training.global_batch % at_once:
        raise UserError(
            f"global_batch ({training.global_batch}) must be a multiple of micro_batch x ranks "
            f"({training.micro_batch} x {ranks} = {at_once})"
        )
    return training.global_batch // at_once


def common_arguments(
    training: TrainingSection,
    parallel: ParallelSection,
    folder: Path,
    seed: int,
    ranks: int,
    on_cpu: bool,
    universal: bool = False,
) -> dict[str, Any]:
    """Return the arguments that SFT and DPO share, by the names of transformers' TrainingArguments.

    `universal` continues a checkpoint of another number of ranks, see `universal`. Raises UserError for what this
    machine cannot do.
    """
    if training.activation_offload and on_cpu:
        raise UserError("activation_offload is true, but this machine has no GPU to take activations off")
    optimizer = training.optimizer
    return {
        "output_dir": str(folder),
        "max_steps": training.steps,
        "warmup_steps": training.warmup_steps,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "per_device_train_batch_size": training.micro_batch,
        "gradient_accumulation_steps": accumulation_steps(
            training, ranks // ranks_of_a_pack(parallel, ranks)
        ),
        # One pass over the weights instead of eight.
        "optim": "adamw_torch_fused",
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.clip,
        "bf16": training.precision == "bf16",
        "gradient_checkpointing": training.gradient_checkpointing,
        "activation_offloading": training.activation_offload,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": training.save_every,
        "save_total_limit": training.checkpoints_kept,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        # W&B is told by `tracking`, of what metrics.jsonl has.
        "report_to": [],
        "use_cpu": on_cpu,
        "ddp_backend": "gloo" if on_cpu and ranks > 1 else None,
        "ddp_timeout": collective_timeout().total_seconds(),
        "dataloader_pin_memory": not on_cpu,
        "deepspeed": deepspeed_config(parallel, training, ranks, on_cpu, universal),
    }


def sft_arguments(parallelism: ParallelismConfig | None) -> dict[str, Any]:
    """Return what SFTConfig needs beside the common arguments: rows are packs, ready to be read."""
    return {
        "parallelism_config": parallelism,
        # The rows are packs already, and have a collator of their own.
        "packing": False,
        "padding_free": False,
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }


def held_out_arguments(section: PackTrainingSection) -> dict[str, Any]:
    """Return what SFTConfig needs beside to take the loss on held-out packs, and to know the best step by it."""
    return {
        "eval_strategy": "steps",
        "eval_steps": section.steps_between_evaluations,
        "per_device_eval_batch_size": section.micro_batch,
        "metric_for_best_model": "loss" if section.keep_best else None,
    }


def dpo_arguments(dpo: DpoSection, micro_steps: int) -> dict[str, Any]:
    """Return what DPOConfig needs beside the common arguments, or instead: a micro-batch is one row of pairs."""
    with_sft = dpo.sft_weight > 0
    return {
        "beta": dpo.beta,
        "loss_type": [dpo.loss, "sft"] if with_sft else [dpo.loss],
        "loss_weights": [1.0, dpo.sft_weight] if with_sft else None,
        "label_smoothing": dpo.label_smoothing,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": micro_steps,
        # The references step gives them; TRL must not load a second model.
        "precompute_ref_log_probs": True,
        # Packed rows are for dense models.
        "router_aux_loss_coef": 0.0,
    }


def lora_config(lora: LoraSection | None) -> Any:
    """Return PEFT's configuration, or None for full training."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
