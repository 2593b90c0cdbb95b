"""DeepSpeed's configuration from the recipe; nothing to copy, nothing that two files could disagree on."""

from __future__ import annotations

from typing import Any

from data_filters.errors import UserError
from hermes_train.recipe.training_sections import ParallelSection, TrainingSection


def effective_stage(parallel: ParallelSection, ranks: int) -> int:
    """Return the ZeRO stage that a job runs with: 0 where there is one rank, and so nothing to spread."""
    return parallel.zero_stage if ranks > 1 else 0


def ranks_of_a_pack(parallel: ParallelSection, ranks: int) -> int:
    """Return how many ranks share a pack: 1 where there is one rank."""
    return parallel.sequence_parallel if ranks > 1 else 1


def deepspeed_config(
    parallel: ParallelSection,
    training: TrainingSection,
    ranks: int,
    on_cpu: bool,
    universal: bool = False,
) -> dict[str, Any] | None:
    """Return DeepSpeed's configuration, or None where there is nothing to spread (one rank, or stage 0).

    The optimizer stays PyTorch's AdamW and the schedule the Trainer's, so that one rank and many run the same code; an
    offloaded optimizer on a machine with GPUs is DeepSpeed's AdamW for CPUs. "auto" is filled in by the Trainer, from
    the recipe's batch sizes and the model's hidden size. `universal` loads the checkpoint that `universal.convert`
    wrote. Raises UserError for what this machine or this number of ranks cannot do.
    """
    stage = effective_stage(parallel, ranks)
    if stage == 0:
        return None
    _check(parallel, ranks, on_cpu)
    if lossy := lossy_sums(parallel, training, ranks):
        raise UserError(lossy)
    config: dict[str, Any] = {
        "zero_optimization": _partitioning(parallel, stage) | _offloading(parallel),
        "bf16": {"enabled": training.precision == "bf16"},
        "gradient_clipping": training.optimizer.clip,
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        # DeepSpeed asks for this before it wraps an optimizer that is not its own.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": not on_cpu,
        "steps_per_print": 1_000_000_000,
    }
    if training.precision == "bf16" and stage > 1:
        # A sum of many micro-batches in bfloat16 would lose the small ones.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    if universal:
        config["checkpoint"] = {"load_universal": True}
    return config


def lossy_sums(parallel: ParallelSection, training: TrainingSection, ranks: int) -> str | None:
    """Return why a job would sum gradients in bfloat16, and what to take instead; None where it would not.

    DeepSpeed's stage 1 has no float32 buffer but by another optimizer, whose checkpoints are of another form.
    """
    at_once = training.micro_batch * ranks // ranks_of_a_pack(parallel, ranks)
    micro_batches = training.global_batch // at_once
    if effective_stage(parallel, ranks) != 1 or training.precision != "bf16" or micro_batches <= 1:
        return None
    return (
        f"parallel.zero_stage is 1, which would sum the gradients of {micro_batches} micro-batches in bfloat16; take "
        "parallel.zero_stage=2, which sums them in float32 and needs less memory"
    )


def extensions_needed(parallel: ParallelSection, on_cpu: bool) -> tuple[str, ...]:
    """Return the names of DeepSpeed's builders of what a job compiles, see `extensions.build_extensions`."""
    if on_cpu:
        return ("ShareMemCommBuilder",)
    offloaded = ("CPUAdamBuilder",) if parallel.offload != "none" else ()
    quantised = ("QuantizerBuilder",) if parallel.quantised_weights or parallel.quantised_gradients else ()
    return offloaded + quantised


def _partitioning(parallel: ParallelSection, stage: int) -> dict[str, Any]:
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": parallel.reduce_bucket_size,
    }
    if stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": parallel.prefetch_bucket_size,
            "stage3_param_persistence_threshold": parallel.persistence_threshold,
            "stage3_max_live_parameters": parallel.max_live_parameters,
            # No rank ever holds the whole model, not even to save it.
            "stage3_gather_16bit_weights_on_model_save": False,
            "zero_hpz_partition_size": parallel.hierarchical_partition,
            "zero_quantized_weights": parallel.quantised_weights,
            "zero_quantized_gradients": parallel.quantised_gradients,
        }
    return zero


def _offloading(parallel: ParallelSection) -> dict[str, Any]:
    in_memory_of_cpu = {"device": "cpu", "pin_memory": True}
    return {
        "none": {},
        "optimizer": {"offload_optimizer": in_memory_of_cpu},
        "parameters": {"offload_optimizer": in_memory_of_cpu, "offload_param": in_memory_of_cpu},
    }[parallel.offload]


def _check(parallel: ParallelSection, ranks: int, on_cpu: bool) -> None:
    for key in ("hierarchical_partition", "sequence_parallel"):
        size = getattr(parallel, key)
        if ranks % size:
            raise UserError(
                f"parallel.{key} is {size}, which does not divide the {ranks} ranks; give a divisor of {ranks}"
            )
    if on_cpu and (parallel.quantised_weights or parallel.quantised_gradients):
        raise UserError(
            "parallel.quantised_weights and quantised_gradients need GPUs; set both to false on CPUs"
        )
