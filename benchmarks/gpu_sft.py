"""SFT on one GPU: tokens a second, MFU and peak memory, ours beside plain TRL and transformers on the same packs.

    python benchmarks/gpu_sft.py [--case 1B|8B-lora|...] [--steps N] [--json FILE]
    python benchmarks/gpu_sft.py --device cpu --tiny          that all of it runs, on any machine

Random weights in the shapes of Llama-3.2-1B (all weights trained) and Llama-3.1-8B (LoRA), packs of 16,384 tokens whose
documents are as long as Hermes 4's, half of the tokens labelled, bf16, activation checkpointing. Ours is the trainer of
the sft stage on the path that `model.attention: auto` takes. "TRL" is SFTTrainer on the same packs, padding-free, with
FlashAttention where it is installed and SDPA elsewhere; "transformers" is the Trainer with the model's own loss. Each
run is a process of its own. MFU counts 6 operations for each weight and token (4 for weights beneath adapters), and
attention as 6 x layers x width x the sum of squared document lengths, causal (PaLM's count, halved), over the peak of
the device in bfloat16.

The last lines are the parity of packs, for each attention path of this machine: the relative difference of the loss of
a pack (on a GPU in bfloat16) from that of its documents one by one, in float32 by SDPA.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hermes_lengths import hermes_lengths
from rich.console import Console
from rich.table import Table

TRAINERS = ("ours", "TRL", "transformers")
WARM_UP = 2
PATHS = ("sdpa", "varlen", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4")


@dataclass(frozen=True)
class Case:
    """A model's shape and how it is trained."""

    shape: dict[str, Any]
    lora: bool
    length: int = 16384
    checkpointing: bool = True


CASES = {
    "1B": Case(
        {
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
            "tie_word_embeddings": True,
        },
        lora=False,
    ),
    "8B-lora": Case(
        {
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        },
        lora=True,
    ),
    "tiny": Case(
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1024,
        },
        lora=False,
        length=512,
    ),
    "tiny-lora": Case(
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1024,
        },
        lora=True,
        length=512,
    ),
}


@dataclass(frozen=True)
class Measured:
    """One run. Memory in MB: of the device, or of the process where that is the CPU."""

    case: str
    trainer: str
    attention: str
    tokens_per_second: float
    step_seconds: float
    mfu: float | None
    peak_memory: float
    loss: float


def main() -> None:
    """Run every trainer on every case and print the table, then parity; with `--only`, one run."""
    arguments = parse_arguments()
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    console = Console(width=120)
    if arguments.only:
        console.print_json(
            json.dumps(asdict(measure(arguments.case[0], arguments.only, arguments.steps))), indent=None
        )
        return
    runs = [run_alone(case, trainer, arguments) for case in arguments.case for trainer in TRAINERS]
    show(runs, console)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    for path in PATHS:
        console.print(f"parity of {path}: {parity(path)}", highlight=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="may be given several times")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="models of two layers and packs of 512 tokens")
    parser.add_argument(
        "--steps", type=int, default=12, help="optimizer steps of each run, two of them left out"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--only", choices=TRAINERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.case = arguments.case or (["tiny", "tiny-lora"] if arguments.tiny else ["1B", "8B-lora"])
    return arguments


def run_alone(case: str, trainer: str, arguments: argparse.Namespace) -> Measured:
    """Return the figures of one run in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--only", trainer]
    command += ["--device", arguments.device, "--steps", str(arguments.steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_packs(folder: Path, case: Case, steps: int) -> Any:
    """Write packs of random tokens and return them; each document's second half is labelled."""
    from data_filters.samples import Mode
    from hermes_train.chat.labels import Document
    from hermes_train.packing.bins import pack
    from hermes_train.packing.dataset import PackedData
    from hermes_train.packing.store import PackIndex, write_store

    rng = np.random.default_rng(0)
    lengths = hermes_lengths(steps * 16) * case.length // 16384
    lengths = lengths[np.cumsum(lengths) <= (steps + 1) * case.length].clip(min=2)

    def documents() -> Any:
        for number, length in enumerate(lengths.tolist()):
            ids = rng.integers(0, case.shape["vocab_size"], length).astype(np.int32)
            spans = np.asarray([[length // 2, length]], np.int32)
            yield Document(str(number), "random", Mode.THINK, ids, spans)

    store = write_store(folder, documents())
    PackIndex(*pack(store.lengths(), case.length), case.length).save(folder / "index.npz")
    return PackedData(folder, pad_token_id=0)


def random_model(case: Case, attention: str) -> Any:
    """Return a Llama of random weights on the device: float32 where all are trained, bfloat16 beneath adapters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**case.shape, max_position_embeddings=case.length, use_cache=False)
    config._attn_implementation = attention
    with device():
        model = LlamaForCausalLM(config)
    return model.bfloat16() if case.lora else model


def measure(name: str, trainer: str, steps: int) -> Measured:
    """Train for some steps and return the figures."""
    from hermes_train.training.compute.architecture import Architecture
    from hermes_train.training.compute.flops import peak_flops, step_flops

    case = CASES[name]
    with tempfile.TemporaryDirectory() as scratch:
        data = write_packs(Path(scratch) / "packs", case, steps)
        training, attention = make_trainer(trainer, case, data, Path(scratch), steps)
        clock = step_clock()
        training.add_callback(clock)
        training.train()
    seconds = sum(clock.seconds[WARM_UP:]) / len(clock.seconds[WARM_UP:])
    architecture = Architecture.of_config(training.model.config)
    trained = "lora" if case.lora else "full"
    operations = np.mean(
        [
            # TRL's loss multiplies the head for every token, ours for the labelled ones.
            step_flops(
                architecture,
                data.step_lengths(0, 1, step),
                trained,
                data.step_tokens(0, 1, step)[1] if trainer == "ours" else None,
            )
            for step in range(WARM_UP, steps)
        ]
    )
    peak = peak_flops(device_name())
    return Measured(
        name,
        trainer,
        attention,
        case.length / seconds,
        seconds,
        float(operations / seconds / peak) if peak else None,
        peak_memory(),
        next(entry["loss"] for entry in reversed(training.state.log_history) if "loss" in entry),
    )


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def peak_memory() -> float:
    """Return the most memory held so far in MB: of the device, or of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_trainer(trainer: str, case: Case, data: Any, folder: Path, steps: int) -> tuple[Any, str]:
    """Return a trainer on the packs, and the attention path that it takes."""
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    from hermes_train.training.arguments import sft_arguments
    from hermes_train.training.compute.attention import choose_attention
    from hermes_train.training.compute.kernels import choose_kernels, use_kernels
    from hermes_train.training.pack_trainer import PackTrainer

    attention = choose_attention("auto")
    if trainer != "ours" and not attention.startswith("flash"):
        attention = "sdpa"
    settings = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": 1,
        "learning_rate": 1e-5,
        "bf16": True,
        "gradient_checkpointing": case.checkpointing,
        "optim": "adamw_torch_fused",
        "use_cpu": device().type == "cpu",
        "data_seed": 0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "remove_unused_columns": False,
        "disable_tqdm": True,
    }
    model = random_model(case, attention)
    adapters = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    shared = {"model": model, "train_dataset": data.as_dataset()}
    if trainer == "transformers":
        return plain_trainer(shared, settings, adapters if case.lora else None), attention
    if trainer == "ours":
        use_kernels(model, choose_kernels("auto"))
    make = PackTrainer if trainer == "ours" else SFTTrainer
    with_tokenizer = shared | {"processing_class": PreTrainedTokenizerFast(tokenizer_object=one_token())}
    with_tokenizer["processing_class"].pad_token = with_tokenizer["processing_class"].eos_token = "<pad>"
    made = make(
        **with_tokenizer,
        args=SFTConfig(
            **settings, **(sft_arguments(parallelism=None) | {"padding_free": True, "packing": True})
        ),
        peft_config=adapters if case.lora else None,
    )
    return made, attention


def plain_trainer(shared: dict[str, Any], settings: dict[str, Any], adapters: Any) -> Any:
    """Return transformers' Trainer with the model's own loss, over all logits, on the same batches as TRL's."""
    from peft import get_peft_model
    from transformers import Trainer, TrainingArguments
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    if adapters is not None:
        shared["model"].enable_input_require_grads()
        shared["model"] = get_peft_model(shared["model"], adapters)
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    return Trainer(**shared, args=TrainingArguments(**settings), data_collator=collator)


def one_token() -> Any:
    """Return a tokenizer of one token: packs are ready, and TRL wants one."""
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))


def step_clock() -> Any:
    """Return a callback that takes the time of each step, what the device has still to do included."""
    from transformers import TrainerCallback

    class StepClock(TrainerCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._last = time.perf_counter()

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._last = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.seconds.append(now - self._last)
            self._last = now

    return StepClock()


def show(runs: list[Measured], console: Console) -> None:
    """Print the table."""
    table = Table("case", "", "attention", "tokens/s", "s a step", "MFU", "peak memory, MB")
    for run in runs:
        mfu = "" if run.mfu is None else f"{100 * run.mfu:.1f} %"
        figures = (f"{run.tokens_per_second:,.0f}", f"{run.step_seconds:.3f}", mfu, f"{run.peak_memory:,.0f}")
        table.add_row(run.case, run.trainer, run.attention, *figures)
    console.print(table)
    console.print(f"{device_name()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}", highlight=False)


def parity(attention: str) -> str:
    """Say how far the loss of a pack is from that of its documents one by one, or why the path is not to be had."""
    from data_filters.errors import UserError
    from hermes_train.training.compute.attention import choose_attention
    from hermes_train.training.compute.loss import add_labelled_loss, labelled_loss
    from hermes_train.training.pack_collator import PackCollator

    try:
        choose_attention(attention)
    except UserError as error:
        return str(error)
    case = Case(
        CASES["tiny"].shape | {"num_attention_heads": 1, "num_key_value_heads": 1}, lora=False, length=512
    )
    alone, packed = random_model(case, "sdpa"), random_model(case, attention)
    add_labelled_loss(packed)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        data = write_packs(Path(folder) / "packs", case, 4)
        batch = PackCollator(pad_token_id=0)([data.as_dataset()[0]])
        batch = {name: part.to(device()) if torch.is_tensor(part) else part for name, part in batch.items()}
        batch.pop("modes")
        with torch.autocast(device().type, torch.bfloat16, enabled=device().type == "cuda"):
            together = float(labelled_loss(packed, batch).total)
        one_by_one = sum(
            document_loss(alone, data.store.input_ids(number), data.store.labels(number))
            for number in data.index.documents(0)
        )
    return f"{abs(together - one_by_one) / one_by_one:.1e}"


def document_loss(model: Any, ids: np.ndarray, labels: np.ndarray) -> float:
    """Return the summed loss of a document in a forward of its own."""
    tokens, targets = (torch.as_tensor(part.astype(np.int64), device=device()) for part in (ids, labels))
    logits = model(input_ids=tokens[None], use_cache=False).logits[0, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits, targets[1:], reduction="sum"))


if __name__ == "__main__":
    main()
