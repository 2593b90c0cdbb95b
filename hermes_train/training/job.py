"""One training stage from its data to its model: resumed, tracked, measured, saved whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.console import Console
from transformers import PrinterCallback
from trl import DPOConfig, SFTConfig

from hermes_train.packing.dataset import PackedData, step_packs
from hermes_train.recipe.schema import (
    DpoSection,
    ModelSection,
    ParallelSection,
    TrainingSection,
    WandbSection,
)
from hermes_train.training import checkpoints, ranks
from hermes_train.training.arguments import common_arguments, dpo_arguments, lora_config, sft_arguments
from hermes_train.training.bases import DTYPES
from hermes_train.training.callbacks import CheckpointMark, ProgressBar, StepFigures, StepTokens
from hermes_train.training.lora import merge_adapters
from hermes_train.training.metrics import drop_after, read_metrics
from hermes_train.training.model import load_for_training, load_tokenizer, save_model
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.pair_trainer import PairTrainer
from hermes_train.training.saving import whole_state
from hermes_train.training.tracking import end_tracking, start_tracking


@dataclass(frozen=True)
class TrainingJob:
    """What a training stage works on. `origin` is the model it starts from, `data` its packs or pairs."""

    stage: str
    run_name: str
    seed: int
    model: ModelSection
    parallel: ParallelSection
    wandb: WandbSection
    origin: Path
    data: Path
    folder: Path
    console: Console

    @property
    def metrics_path(self) -> Path:
        """Where the figures of each step go."""
        return self.folder / "metrics.jsonl"

    @property
    def model_path(self) -> Path:
        """Where the finished model goes."""
        return self.folder / "model"


def train_on_packs(job: TrainingJob, section: TrainingSection) -> dict[str, Any]:
    """Train on packs with TRL's SFT and save the model. Returns the stage's figures; only rank 0's are complete."""
    tokenizer = load_tokenizer(job.origin)
    data = PackedData(job.data, tokenizer.pad_token_id)
    arguments = SFTConfig(**_common(job, section), **sft_arguments())
    _join(arguments)
    trainer = PackTrainer(
        model=load_for_training(job.origin, job.model.attention, section.gradient_checkpointing),
        args=arguments,
        train_dataset=data.as_dataset(),
        processing_class=tokenizer,
        peft_config=lora_config(section.lora),
    )

    def step_tokens(step: int) -> tuple[int, int]:
        return data.step_tokens(job.seed, section.global_batch, step)

    return _run(trainer, job, section, step_tokens)


def train_on_pairs(job: TrainingJob, section: DpoSection) -> dict[str, Any]:
    """Train on preference pairs with TRL's DPO and save the model. Returns the stage's figures."""
    tokenizer = load_tokenizer(job.origin)
    # From disk, so that all ranks share the cache of reference log-probabilities that the trainer lays beside it.
    pairs = Dataset.load_from_disk(str(job.data))
    arguments = DPOConfig(**_common(job, section), **dpo_arguments(section, ranks.use_cpu()))
    _join(arguments)
    trainer = PairTrainer(
        model=load_for_training(job.origin, job.model.attention, section.gradient_checkpointing),
        args=arguments,
        train_dataset=pairs,
        processing_class=tokenizer,
        peft_config=lora_config(section.lora),
    )
    return _run(trainer, job, section, _pair_tokens(pairs, job.seed, section.global_batch))


def _common(job: TrainingJob, section: TrainingSection) -> dict[str, Any]:
    on_cpu = ranks.use_cpu()
    return common_arguments(
        section, job.parallel, job.wandb, job.folder, job.seed, ranks.world_size(), on_cpu
    )


def _join(arguments: SFTConfig | DPOConfig) -> None:
    if arguments.deepspeed:
        ranks.join_deepspeed()


def _pair_tokens(pairs: Dataset, seed: int, global_batch: int) -> StepTokens:
    answers = [len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in pairs]
    prompts = [2 * len(row["prompt_ids"]) for row in pairs]

    def step_tokens(step: int) -> tuple[int, int]:
        chosen = step_packs(seed, step, global_batch, len(pairs))
        labelled = sum(answers[index] for index in chosen)
        return labelled + sum(prompts[index] for index in chosen), labelled

    return step_tokens


def _run(
    trainer: PackTrainer | PairTrainer, job: TrainingJob, section: TrainingSection, step_tokens: StepTokens
) -> dict[str, Any]:
    started = time.perf_counter()
    trainer.remove_callback(PrinterCallback)
    for callback in (
        StepFigures(job.metrics_path, step_tokens),
        CheckpointMark(),
        ProgressBar(job.stage, job.console),
    ):
        trainer.add_callback(callback)
    checkpoint = _ready_to_resume(job)
    start_tracking(job.wandb, job.run_name, job.stage, job.folder, section.model_dump(mode="json"))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    _save(trainer, job, section)
    end_tracking(job.wandb)
    return _figures(job, time.perf_counter() - started) if ranks.is_main() else {}


def _ready_to_resume(job: TrainingJob) -> Path | None:
    """Return the checkpoint to go on from; clear what a killed process left after it."""
    checkpoint = checkpoints.latest_complete(job.folder)
    ranks.wait_for_all()
    if ranks.is_main():
        checkpoints.remove_incomplete(job.folder)
        drop_after(job.metrics_path, checkpoints.step_of(checkpoint) if checkpoint else 0)
        if checkpoint:
            job.console.print(f"{job.stage} goes on after step {checkpoints.step_of(checkpoint)}")
    ranks.wait_for_all()
    return checkpoint


def _save(trainer: PackTrainer | PairTrainer, job: TrainingJob, section: TrainingSection) -> None:
    state = whole_state(trainer, DTYPES[job.model.dtype])
    if state is not None:
        if section.lora:
            state = merge_adapters(state, section.lora.alpha / section.lora.rank)
        save_model(state, trainer.model.config, job.origin, job.model_path)
        checkpoints.remove_all(job.folder)
    ranks.wait_for_all()


def _figures(job: TrainingJob, seconds: float) -> dict[str, Any]:
    steps = read_metrics(job.metrics_path)
    return {
        "steps": len(steps),
        "seconds": round(seconds, 2),
        "tokens": sum(step["tokens"] for step in steps),
        "label_tokens": sum(step["label_tokens"] for step in steps),
        "final_loss": steps[-1]["loss"] if steps else None,
    }
