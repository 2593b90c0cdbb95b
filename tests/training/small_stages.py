"""Training stages small enough to run in seconds: a model of random weights, packs and pairs of random tokens.

As a script, one rank that trains several of them in turn through the real jobs:

    torchrun --nproc_per_node 2 small_stages.py PLAN.json

PLAN is a list of what `Planned` holds.
"""

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState
from datasets import Dataset
from rich.console import Console

from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.bins import pack, round_up_to_multiple
from hermes_train.packing.held_out import HELD_OUT_INDEX, held_out_packs
from hermes_train.packing.store import PackIndex, TokenStore, write_store
from hermes_train.recipe.schema import ModelSection, RandomModel, WandbSection
from hermes_train.recipe.training_sections import DpoSection, LoraSection, ParallelSection, SftSection
from hermes_train.training import ranks
from hermes_train.training.job import TrainingJob, train_on_packs, train_on_pairs
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.watch.signals import StopSignal, deferred, stop_signals
from hermes_train.training.weights.bases import random_llama

LENGTH = 64
GLOBAL_BATCH = 4


@dataclass
class Planned:
    """A stage to train: packs, or pairs where `pairs` is said."""

    folder: str
    origin: str
    data: str
    pairs: bool = False
    precision: str = "fp32"
    dtype: str = "float32"
    steps: int = 4
    save_every: int = 100
    stop_after: int | None = None
    """The step after which SIGTERM comes."""
    lora: bool = False
    micro_batch: int = 1
    parallel: dict[str, Any] = field(default_factory=dict)
    attention: str = "auto"
    learning_rate: float = 1e-3
    dropout: float = 0.0
    """Of the adapters."""
    local_cache: str | None = None
    """The disk of the node."""
    held_out: str | None = None
    """The folder of the held-out packs."""
    evaluate_every: int | None = None
    keep_best: bool = False

    def section(self):
        common = {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "global_batch": GLOBAL_BATCH,
            "micro_batch": self.micro_batch,
            "precision": self.precision,
            "save_every": self.save_every,
            "lora": LoraSection(rank=4, alpha=8, dropout=self.dropout) if self.lora else None,
        }
        if self.pairs:
            return DpoSection(**common, max_length=LENGTH)
        return SftSection(**common, evaluate_every=self.evaluate_every, keep_best=self.keep_best)

    def job(self):
        folder = Path(self.folder)
        return TrainingJob(
            stage=folder.name,
            run_name="small",
            seed=5,
            model=ModelSection(
                random=RandomModel(), template="llama3", dtype=self.dtype, attention=self.attention
            ),
            parallel=ParallelSection(**self.parallel),
            wandb=WandbSection(),
            origin=Path(self.origin),
            data=Path(self.data),
            folder=folder,
            console=Console(file=sys.stdout, width=300),
            facts={},
            local_cache=Path(self.local_cache) if self.local_cache else None,
            held_out=Path(self.held_out) if self.held_out else None,
        )


def write_model(folder, seed=0, **shape):
    """Write a model of random weights, in float32, with its tokenizer."""
    model, tokenizer = random_llama(RandomModel(**shape), seed)
    tokenizer.pad_token = "<|finetune_right_pad_id|>"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_packs(folder, count=64, seed=1):
    """Write packs of random documents of which all but the first few tokens are labelled."""
    rng = np.random.default_rng(seed)

    def documents():
        for number in range(count):
            length = int(rng.integers(8, LENGTH // 2))
            ids = rng.integers(1, 99, length).astype(np.int32)
            yield Document(f"d{number}", "s", Mode.DIRECT, ids, np.asarray([[3, length]], np.int32))

    folder.mkdir()
    write_store(folder, documents())
    lengths = TokenStore(folder).lengths()
    order, starts = round_up_to_multiple(*pack(lengths, LENGTH), lengths, GLOBAL_BATCH)
    PackIndex(order, starts, LENGTH).save(folder / "index.npz")
    return folder


def write_held_out(folder, count=11, seed=3):
    """Write held-out packs of documents in both modes, of which some have many labels and others few."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    store = write_store(folder, (_held_out_document(rng, number) for number in range(count)))
    held_out_packs(store, np.ones(count, bool), LENGTH).save(folder / HELD_OUT_INDEX)
    return folder


def _held_out_document(rng, number):
    length = int(rng.integers(20, LENGTH))
    labelled = length - 3 if number % 3 == 0 else 2
    ids = rng.integers(1, 99, length).astype(np.int32)
    spans = np.asarray([[length - labelled, length]], np.int32)
    return Document(f"h{number}", "s", (Mode.DIRECT, Mode.THINK)[number % 2], ids, spans)


def write_pairs(folder, count=24, seed=2):
    """Write pairs of random prompts and answers."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": f"p{number}",
            "kind": "verified",
            "mode": "direct",
            **{
                side: rng.integers(1, 99, int(rng.integers(5, 20))).tolist()
                for side in ("prompt_ids", "chosen_ids", "rejected_ids")
            },
        }
        for number in range(count)
    ]
    Dataset.from_list(rows).save_to_disk(str(folder))
    return folder


def write_plan(path, stages):
    path.write_text(json.dumps([asdict(stage) for stage in stages]))
    return path


def train(planned):
    """Train one stage, to its end or to the step at which it is asked to stop."""
    Path(planned.folder).mkdir(parents=True, exist_ok=True)
    # The state of Accelerate is one for the process; the next stage has another.
    AcceleratorState._reset_state(reset_partial_state=False)
    GradientState._reset_state()
    do = train_on_pairs if planned.pairs else train_on_packs
    with stop_signals():
        try:
            with deferred(), _asked_to_stop(planned.stop_after):
                do(planned.job(), planned.section())
        except StopSignal as stopped:
            assert planned.stop_after is not None, stopped


class _asked_to_stop:  # noqa: N801 - a context manager, named as one
    """Sends this process SIGTERM while it computes a step."""

    def __init__(self, step):
        self.step = step
        self.training_step = PackTrainer.training_step

    def __enter__(self):
        def training_step(trainer, *arguments, **settings):
            if self.step is not None and trainer.state.global_step == self.step - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.training_step(trainer, *arguments, **settings)

        PackTrainer.training_step = training_step

    def __exit__(self, *exception):
        PackTrainer.training_step = self.training_step


def main():
    torch.set_num_threads(1)
    ranks.use_cpu()
    for stage in json.loads(Path(sys.argv[1]).read_text()):
        train(Planned(**stage))


if __name__ == "__main__":
    main()
