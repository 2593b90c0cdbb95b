"""Labelled tokens per second of SFT on a CPU: our trainer beside TRL's own, on the same packs and model.

    python benchmarks/cpu_sft.py RUN [STEPS]

RUN is the folder of a run whose packs are made, such as runs/demo. Both trainers take the same steps of the same packs,
one after the other, in turn; the first step of each is left out, since it warms up. The losses are compared as well.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from hermes_train.packing.dataset import PackedData
from hermes_train.recipe.schema import ParallelSection, SftSection, WandbSection
from hermes_train.training.arguments import common_arguments, sft_arguments
from hermes_train.training.model import load_for_training, load_tokenizer
from hermes_train.training.trainers import PackTrainer


class PlainTrainer(SFTTrainer):
    """TRL's trainer, given our order of the packs so that both see the same."""

    _get_train_sampler = PackTrainer._get_train_sampler


class Clock(TrainerCallback):
    """Keeps when each step ended, and its loss."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def on_log(self, *args: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Note the loss."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def measure(kind: type[SFTTrainer], run: Path, steps: int) -> Clock:
    """Train `steps` steps from the prepared base and return what the clock saw."""
    prepared = run / "prepare" / "model"
    tokenizer = load_tokenizer(prepared)
    data = PackedData(run / "pack" / "sft", tokenizer.pad_token_id)
    section = SftSection(steps=steps, learning_rate=1e-4, global_batch=1, save_every=10**6)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        common = common_arguments(section, ParallelSection(), WandbSection(), Path(folder), 0, 1, True)
        trainer = kind(
            model=load_for_training(prepared, "auto", False),
            args=SFTConfig(**common | {"save_strategy": "no"}, **sft_arguments()),
            train_dataset=data.as_dataset(),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def main() -> None:
    """Print the table."""
    run, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8
    tokenizer = load_tokenizer(run / "prepare" / "model")
    data = PackedData(run / "pack" / "sft", tokenizer.pad_token_id)
    labelled = sum(data.step_tokens(0, 1, step)[1] for step in range(1, steps))
    table = Table("trainer", "labelled tokens/s", "seconds a step", "last loss")
    speeds = []
    for name, kind in (("hermes_train", PackTrainer), ("TRL", PlainTrainer)):
        clock = measure(kind, run, steps)
        seconds = clock.ends[-1] - clock.ends[0]
        speeds.append(labelled / seconds)
        table.add_row(name, f"{speeds[-1]:.0f}", f"{seconds / (steps - 1):.2f}", f"{clock.losses[-1]:.4f}")
    console = Console()
    console.print(table)
    console.print(f"ratio {speeds[0] / speeds[1]:.2f}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
