"""A rank of a small training job that notes which packs it was given, and stops dead before a step.

    torchrun --nproc_per_node 2 train_on_ranks.py FOLDER GLOBAL_BATCH MICRO_BATCH STOP_AT NOTES

FOLDER has the packs in `packs/` and the model in `model/`. Each rank writes NOTES-RANK.jsonl, a line for each
micro-step: `[optimizer step, [numbers of its packs]]`.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from hermes_train.packing.dataset import PackedData
from hermes_train.recipe.schema import ModelSection, RandomModel, WandbSection
from hermes_train.recipe.training_sections import ParallelSection, SftSection
from hermes_train.training.job import TrainingJob, train_on_packs
from hermes_train.training.model import load_tokenizer
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.ranks import rank, wait_for_all


def note_packs(data, stop_at, notes):
    """Let the trainer write down the packs of each micro-step, and end the process before step `stop_at`."""
    numbers = {data.pack(number)["input_ids"].tobytes(): number for number in range(len(data))}
    length = data.index.length
    train_micro_step = PackTrainer.training_step

    def training_step(trainer, model, inputs, *rest):
        step = trainer.state.global_step
        if step == stop_at:
            wait_for_all()
            # A rank that is gone at once would break the connection while another still waits for its answer.
            time.sleep(1)
            os._exit(0)
        rows = inputs["input_ids"].numpy().astype(np.int64).reshape(-1, length)
        notes.write(json.dumps([step, [numbers[row.tobytes()] for row in rows]]) + "\n")
        notes.flush()
        return train_micro_step(trainer, model, inputs, *rest)

    PackTrainer.training_step = training_step


def main():
    folder, notes = Path(sys.argv[1]), sys.argv[5]
    global_batch, micro_batch, stop_at = map(int, sys.argv[2:5])
    section = SftSection(
        steps=stop_at + 1,
        learning_rate=1e-4,
        global_batch=global_batch,
        micro_batch=micro_batch,
        precision="fp32",
        save_every=2,
    )
    job = TrainingJob(
        stage="sft",
        run_name="ranks",
        seed=5,
        model=ModelSection(random=RandomModel(), template="llama3", attention="sdpa", dtype="float32"),
        parallel=ParallelSection(),
        wandb=WandbSection(),
        origin=folder / "model",
        data=folder / "packs",
        folder=folder / "trained",
        console=Console(file=sys.stderr),
        facts={},
    )
    job.folder.mkdir(exist_ok=True)
    with Path(f"{notes}-{rank()}.jsonl").open("w") as file:
        note_packs(PackedData(job.data, load_tokenizer(job.origin).pad_token_id), stop_at, file)
        train_on_packs(job, section)


main()
