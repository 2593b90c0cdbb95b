"""Memory and time of DPO with reference log-probabilities from the cache, beside TRL with a reference model in memory.

    python benchmarks/dpo_memory.py MODEL_FOLDER PAIRS_FOLDER [--steps N] [--rounds N] [--json FILE]
    python benchmarks/dpo_memory.py --tiny

MODEL_FOLDER is a trained model (`runs/demo/hybrid/model`), PAIRS_FOLDER the pairs that `hermes-train pack` wrote
(`runs/demo/pack/dpo`). All see the same pairs in the same order, with bf16 autocast over float32 weights, AdamW, four
pairs a step, and no gradient checkpointing.

    references        our trainer where nothing is known: the references step and one training step
    cache             our trainer, which finds what `references` computed
    TRL, two models   TRL's DPOTrainer, padded, with `ref_model`

Each is a process of its own; they take turns. Memory is the largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WAYS = ("references", "cache", "TRL, two models")
GLOBAL_BATCH = 4
LONGEST = 1024
SEED = 0


@dataclass(frozen=True)
class Measured:
    """One run in one way; memory in MB, of the whole process. `losses` are those of each step."""

    way: str
    peak_memory: float
    step_seconds: float
    """Median, without the first step."""
    losses: list[float]


def main() -> None:
    """Run all in turns and print the table; with `--only`, run one and print its figures."""
    arguments = parse_arguments()
    if arguments.only:
        # The parent process reads it.
        sys.stdout.write(json.dumps(asdict(measure(arguments.only, arguments))) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.tiny:
            write_tiny(Path(folder))
            arguments.model, arguments.pairs = Path(folder) / "model", Path(folder) / "pairs"
        runs = [run_alone(way, arguments, folder) for _ in range(arguments.rounds) for way in WAYS]
    show(runs)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", help="folder of the model to start from")
    parser.add_argument("pairs", type=Path, nargs="?", help="folder of the tokenised pairs")
    parser.add_argument(
        "--tiny", action="store_true", help="a random model and random pairs, to try the script"
    )
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way, in turns")
    parser.add_argument("--json", type=Path, help="where to write every run's figures")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--references", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.tiny and not (arguments.model and arguments.pairs):
        parser.error("give MODEL_FOLDER and PAIRS_FOLDER, or --tiny")
    return arguments


def run_alone(way: str, arguments: argparse.Namespace, folder: str) -> Measured:
    """Return the figures of a way in a process of its own."""
    given = [
        arguments.model,
        arguments.pairs,
        "--steps",
        arguments.steps,
        "--only",
        way,
        "--references",
        folder,
    ]
    command = [sys.executable, __file__, *map(str, given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure(way: str, arguments: argparse.Namespace) -> Measured:
    """Train for some steps and return the figures."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        make = trl_trainer if way == "TRL, two models" else our_trainer
        if way == "references":
            arguments.steps = 1
        trainer, clock = make(arguments, Path(folder)), step_clock()
        trainer.add_callback(clock)
        trainer.train()
    return Measured(
        way,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        statistics.median(clock.seconds[1:] or clock.seconds),
        [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
    )


def section(arguments: argparse.Namespace) -> Any:
    """Return the settings that all share."""
    from hermes_train.recipe.training_sections import DpoSection

    return DpoSection(
        steps=arguments.steps,
        learning_rate=1e-6,
        schedule="constant_with_warmup",
        global_batch=GLOBAL_BATCH,
        max_length=LONGEST,
        save_every=10**6,
    )


def settings(arguments: argparse.Namespace, folder: Path, micro_steps: int) -> dict[str, Any]:
    """Return the arguments of DPOConfig that all share."""
    from hermes_train.recipe.training_sections import ParallelSection
    from hermes_train.training.arguments import common_arguments, dpo_arguments

    dpo = section(arguments)
    common = common_arguments(dpo, ParallelSection(), folder, SEED, 1, on_cpu=True)
    return common | dpo_arguments(dpo, micro_steps) | {"save_strategy": "no"}


def our_trainer(arguments: argparse.Namespace, folder: Path) -> Any:
    """Return our trainer, as the dpo stage makes it."""
    from trl import DPOConfig

    from hermes_train.training.model import load_for_training, load_tokenizer
    from hermes_train.training.pairs.pair_batches import pair_rows
    from hermes_train.training.pairs.pair_trainer import PairTrainer
    from hermes_train.training.pairs.reference_scoring import reference_log_probabilities

    tokenizer, dpo = load_tokenizer(arguments.model), section(arguments)
    rows = pair_rows(arguments.pairs, tokenizer.pad_token_id, dpo, SEED, 1)
    trainer = PairTrainer(
        rows=rows,
        model=load_for_training(arguments.model, "auto", gradient_checkpointing=False),
        args=DPOConfig(**settings(arguments, folder, rows.plan.micro_steps)),
        processing_class=tokenizer,
    )
    console = Console(file=sys.stderr)
    trainer.references = reference_log_probabilities(
        trainer, rows.data, dpo, arguments.model, arguments.references, console
    )
    return trainer


def trl_trainer(arguments: argparse.Namespace, folder: Path) -> Any:
    """Return TRL's own trainer with a second model, one pair at a time, as ours holds one row at a time."""
    import numpy as np
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    from hermes_train.packing.dataset import step_packs
    from hermes_train.training.model import load_for_training, load_tokenizer

    class GivenOrder(DPOTrainer):
        """TRL's trainer on rows that are tokenised, in the order in which they stand."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(self.train_dataset)

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    pairs = Dataset.load_from_disk(str(arguments.pairs))
    steps = (step_packs(SEED, step, GLOBAL_BATCH, len(pairs)) for step in range(arguments.steps))
    own = {"precompute_ref_log_probs": False, "pad_to_multiple_of": 64, "max_length": LONGEST}
    model, reference = (
        load_for_training(arguments.model, "sdpa", gradient_checkpointing=False) for _ in range(2)
    )
    return GivenOrder(
        model=model,
        ref_model=reference,
        args=DPOConfig(**settings(arguments, folder, GLOBAL_BATCH) | own),
        train_dataset=pairs.select(np.concatenate(list(steps))),
        processing_class=load_tokenizer(arguments.model),
    )


def step_clock() -> Any:
    """Return a callback that takes the seconds from the begin of each step to its end."""
    from transformers import TrainerCallback

    class StepClock(TrainerCallback):
        """`seconds` has an entry for each step."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._started = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self._started)
            self._started = time.perf_counter()

    return StepClock()


def write_tiny(folder: Path) -> None:
    """Write a random model and random pairs."""
    import numpy as np
    from datasets import Dataset

    from hermes_train.packing.preferences import FEATURES
    from hermes_train.recipe.schema import RandomModel
    from hermes_train.training.weights.bases import random_llama

    model, tokenizer = random_llama(RandomModel(), SEED)
    tokenizer.pad_token = "<|finetune_right_pad_id|>"
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    draw = np.random.default_rng(SEED)
    pairs = [
        {
            "id": str(number),
            "kind": "trace",
            "mode": "think",
            **{name: draw.integers(1, 99, draw.integers(8, 120)).tolist() for name in list(FEATURES)[3:]},
        }
        for number in range(32)
    ]
    Dataset.from_list(pairs, features=FEATURES).save_to_disk(str(folder / "pairs"))


def show(runs: list[Measured]) -> None:
    """Print the medians of each way, and how far the losses are apart."""
    table = Table("way", "peak memory, MB", "seconds a step", "loss of the first steps")
    for way in WAYS:
        own = [run for run in runs if run.way == way]
        table.add_row(
            way,
            f"{statistics.median(run.peak_memory for run in own):,.0f}",
            f"{statistics.median(run.step_seconds for run in own):.2f}",
            " ".join(f"{loss:.4f}" for loss in own[0].losses[:4]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
