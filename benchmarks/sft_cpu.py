"""Labelled tokens a second and peak memory of SFT on a CPU, ours beside TRL's own SFTTrainer, packed and padded.

    python benchmarks/sft_cpu.py MODEL_FOLDER GSM8K_FILE [--steps N] [--rounds N] [--length N] [--json FILE]

MODEL_FOLDER is what `hermes-train prepare` wrote (`runs/demo/prepare/model`), GSM8K_FILE is GSM8K's train.jsonl, whose
worked solutions become thoughts. All three see the same texts with loss on the same tokens, bf16 autocast over
float32 weights, AdamW, no gradient checkpointing, about `--length` tokens a step. TRL is driven as its README does:
rows of prompt and completion, a model folder, an SFTConfig. Each run is a process of its own; the runs take turns for
`--rounds` rounds. The first two steps of a run are left out of its speed. Where others use the machine, `cpu s a step`
tells more than the speed: the seconds of computing, of all threads.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

TRAINERS = ("ours", "TRL packed", "TRL padded")
WARM_UP = 2


@dataclass(frozen=True)
class Measured:
    """One run of one trainer; memory in MB, of the whole process."""

    trainer: str
    labelled_per_second: float
    tokens_per_second: float
    step_seconds: float
    step_cpu_seconds: float
    """Of all threads."""
    peak_memory: float
    loss: float
    """Of the last step."""


def main() -> None:
    """Run all in turns and print the table; with `--only`, run one and print its figures."""
    arguments = parse_arguments()
    if arguments.only:
        Console(width=10_000).print(json.dumps(asdict(measure(arguments.only, arguments))), highlight=False)
        return
    runs = [run_alone(trainer) for _ in range(arguments.rounds) for trainer in TRAINERS]
    show(runs, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of the prepared model")
    parser.add_argument("rows", type=Path, help="GSM8K's train.jsonl")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each trainer, in turns")
    parser.add_argument("--length", type=int, default=1024, help="tokens in a pack")
    parser.add_argument("--json", type=Path, help="where to write every run's figures")
    parser.add_argument("--only", choices=TRAINERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_alone(trainer: str) -> Measured:
    """Return the figures of a trainer in a process of its own, so that memory and kernels are its own."""
    done = subprocess.run([sys.executable, *sys.argv, "--only", trainer], stdout=subprocess.PIPE, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def samples(file: Path) -> Iterator[Any]:
    """Yield GSM8K's rows as samples in think mode."""
    from data_filters.formats import parse_row
    from data_filters.settings import Source

    source = Source(name="gsm8k", path=str(file), format="gsm8k", mode="think")
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield parse_row(json.loads(line), source, number)


def document_maker(model: Path) -> Any:
    """Return what renders and labels the samples for ours; its texts are what TRL gets, too."""
    from hermes_train.packing.documents import load_maker
    from hermes_train.recipe.schema import ModelSection, PackSection, SystemPrompts

    system = SystemPrompts(think="Think, then answer.", direct="Answer at once.")
    section = ModelSection(base=str(model), template="chatml", system=system)
    return load_maker(model, section, PackSection(length=1024), seed=0)


def documents(arguments: argparse.Namespace) -> list[Any]:
    """Return enough documents for all steps of any trainer."""
    from hermes_train.packing.documents import Tally

    maker = document_maker(arguments.model)
    rows = islice(samples(arguments.rows), arguments.steps * arguments.length // 64)
    return list(maker.documents(rows, "expand", arguments.length, Tally()))


def measure(trainer: str, arguments: argparse.Namespace) -> Measured:
    """Train for some steps and return the figures."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        make = our_trainer if trainer == "ours" else trl_trainer
        training, clock = make(trainer, arguments, Path(folder)), step_clock()
        training.add_callback(clock)
        count_labels(training, clock)
        training.train()
    # A batch more than was trained on may have been read ahead.
    timed = slice(WARM_UP, arguments.steps)
    seconds = sum(clock.seconds[timed])
    return Measured(
        trainer,
        sum(clock.labelled[timed]) / seconds,
        sum(clock.tokens[timed]) / seconds,
        seconds / len(clock.seconds[timed]),
        statistics.mean(clock.cpu_seconds[timed]),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        next(entry["loss"] for entry in reversed(training.state.log_history) if "loss" in entry),
    )


def our_trainer(_: str, arguments: argparse.Namespace, folder: Path) -> Any:
    """Return our trainer on packs, as the sft stage makes it."""
    from trl import SFTConfig

    from hermes_train.packing.bins import pack
    from hermes_train.packing.dataset import PackedData
    from hermes_train.packing.store import PackIndex, write_store
    from hermes_train.recipe.training_sections import ParallelSection, SftSection
    from hermes_train.training.arguments import common_arguments, sft_arguments
    from hermes_train.training.model import load_for_training, load_tokenizer
    from hermes_train.training.pack_trainer import PackTrainer

    store = write_store(folder / "packs", documents(arguments))
    PackIndex(*pack(store.lengths(), arguments.length), arguments.length).save(folder / "packs" / "index.npz")
    tokenizer = load_tokenizer(arguments.model)
    data = PackedData(folder / "packs", tokenizer.pad_token_id)
    section = SftSection(steps=arguments.steps, learning_rate=1e-4, global_batch=1, save_every=10**6)
    common = common_arguments(section, ParallelSection(), folder, 0, ranks=1, on_cpu=True)
    return PackTrainer(
        model=load_for_training(arguments.model, "auto", gradient_checkpointing=False),
        args=SFTConfig(**common | {"save_strategy": "no"}, **sft_arguments(parallelism=None)),
        train_dataset=data.as_dataset(),
        processing_class=tokenizer,
    )


def trl_trainer(trainer: str, arguments: argparse.Namespace, folder: Path) -> Any:
    """Return TRL's own trainer on the same texts, cut where the labels begin."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = document_maker(arguments.model).tokenizer
    rows, lengths = [], []
    for document in documents(arguments):
        (start, _), *more = document.spans.tolist()
        assert not more, "one labelled span: the thought, the answer and the end token"
        # TRL adds the end token itself.
        texts = tokenizer.decode(document.input_ids[:start]), tokenizer.decode(document.input_ids[start:-1])
        rows.append({"prompt": texts[0], "completion": texts[1]})
        lengths.append(len(document.input_ids))
    packing = trainer == "TRL packed"
    rows_per_step = 1 if packing else max(1, round(arguments.length / statistics.mean(lengths)))
    config = SFTConfig(
        output_dir=str(folder),
        packing=packing,
        max_length=arguments.length,
        max_steps=arguments.steps,
        per_device_train_batch_size=rows_per_step,
        learning_rate=1e-4,
        gradient_checkpointing=False,
        bf16=True,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    return SFTTrainer(
        str(arguments.model), config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )


def step_clock() -> Any:
    """Return a callback that takes the time from the begin of a step to its end, data included."""
    from transformers import TrainerCallback

    class StepClock(TrainerCallback):
        """The lists have an entry for each step."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.cpu_seconds: list[float] = []
            self.labelled: list[int] = []
            self.tokens: list[int] = []
            self._last = (0.0, 0.0)

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._last = time.perf_counter(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter(), time.process_time()
            self.seconds.append(now[0] - self._last[0])
            self.cpu_seconds.append(now[1] - self._last[1])
            self._last = now

    return StepClock()


def count_labels(training: Any, clock: Any) -> None:
    """Count the tokens of each batch as it leaves the collator, padding left out."""
    collate = training.data_collator

    def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(rows)
        clock.labelled.append(int((batch["labels"] != -100).sum()))
        real = (
            batch["attention_mask"]
            if "attention_mask" in batch
            else batch["input_ids"] != collate.pad_token_id
        )
        clock.tokens.append(int(real.sum()))
        return batch

    training.data_collator = counted


def show(runs: list[Measured], arguments: argparse.Namespace) -> None:
    """Print the medians of each trainer, and our speed over each."""
    table = Table(
        "", "labelled tokens/s", "tokens/s", "s a step", "cpu s a step", "peak memory, MB", "ours is"
    )
    medians = {}
    for trainer in TRAINERS:
        own = [run for run in runs if run.trainer == trainer]
        medians[trainer] = statistics.median(run.labelled_per_second for run in own)
        table.add_row(
            trainer,
            f"{medians[trainer]:.1f}",
            f"{statistics.median(run.tokens_per_second for run in own):.1f}",
            f"{statistics.median(run.step_seconds for run in own):.2f}",
            f"{statistics.median(run.step_cpu_seconds for run in own):.2f}",
            f"{statistics.median(run.peak_memory for run in own):,.0f}",
            f"{medians['ours'] / medians[trainer]:.2f} x",
        )
    console = Console(width=120)
    console.print(table)
    threads = os.environ.get("OMP_NUM_THREADS", f"all {os.cpu_count()}")
    console.print(f"{arguments.steps} steps, median of {arguments.rounds} runs in turns; threads: {threads}")


if __name__ == "__main__":
    main()
