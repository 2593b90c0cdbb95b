"""DeepSpeed's configuration from the recipe; nothing to copy, nothing that two files could disagree on."""

from __future__ import annotations

from typing import Any

from hermes_train.recipe.schema import ParallelSection, TrainingSection


def deepspeed_config(
    parallel: ParallelSection, training: TrainingSection, ranks: int
) -> dict[str, Any] | None:
    """Return DeepSpeed's configuration, or None where there is nothing to spread (one rank, or stage 0).

    The optimizer stays PyTorch's AdamW and the schedule the Trainer's, so that one rank and many run the same code.
    Batch sizes are "auto": the Trainer fills in those of the recipe.
    """
    if ranks == 1 or parallel.zero_stage == 0:
        return None
    zero: dict[str, Any] = {
        "stage": parallel.zero_stage,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": 5e8,
    }
    if parallel.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": 5e8,
            "stage3_param_persistence_threshold": 1e5,
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if parallel.offload == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        if parallel.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": training.precision == "bf16"},
        "gradient_clipping": training.optimizer.clip,
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        # DeepSpeed asks for this before it wraps an optimizer that is not its own.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }
