"""Peak memory of preparing a Llama-shaped checkpoint of 1.2 billion parameters in four shards; whether logits stay.

    python benchmarks/prepare.py FOLDER [--json FILE]

Needs about 9 GB of disk in FOLDER (each case is deleted when it is measured) and 6 GB of memory for the logits, which
are compared after the measurement. The base has the shape of Llama-3.2-1B in bfloat16, random weights and a vocabulary
of 128,256 tokens with the names that Llama-3.1 gives its control tokens. It is prepared with rows renamed (llama3), and
with rows added and all weights converted to float32 (chatml, a base without reserved tokens). Memory is that of the
process that prepares, above what it had after its imports and a first, tiny prepare.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.stages.prepare import prepare

ROWS = 128_256
CONTROL_ROWS = 256
SHARDS = 4
SHAPE = LlamaConfig(
    vocab_size=ROWS,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    tie_word_embeddings=True,
    bos_token_id=128_000,
    eos_token_id=128_001,
)


@dataclass(frozen=True)
class Case:
    """One way to prepare the base."""

    name: str
    template: str
    dtype: str
    reserved: bool
    """Whether the base has reserved tokens to rename."""


CASES = (
    Case("6 rows renamed, bfloat16", "llama3", "bfloat16", reserved=True),
    Case("9 rows added, converted to float32", "chatml", "float32", reserved=False),
)


@dataclass(frozen=True)
class Measured:
    """What one case took; sizes in MB."""

    case: str
    shards: tuple[float, ...]
    peak: float
    seconds: float
    rows_before: int
    rows_after: int
    old_logits_equal: bool


def control_tokens(reserved: bool) -> list[str]:
    """Return Llama-3.1's tokens from id 128,000 on; other names for the reserved ones where there are to be none."""
    named = {0: "begin_of_text", 1: "end_of_text", 4: "finetune_right_pad_id", 6: "start_header_id"}
    named |= {7: "end_header_id", 8: "eom_id", 9: "eot_id", 10: "python_tag"}
    unnamed = (number for number in range(CONTROL_ROWS) if number not in named)
    kind = "reserved_special_token" if reserved else "taken"
    names = named | {number: f"{kind}_{index}" for index, number in enumerate(unnamed)}
    return [f"<|{names[number]}|>" for number in range(CONTROL_ROWS)]


def write_tokenizer(folder: Path, reserved: bool) -> None:
    """Write a byte-level tokenizer of 128,000 tokens, most of which no text needs, and the control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"unused {number}" for number in range(ROWS - CONTROL_ROWS - len(alphabet)))]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(control_tokens(reserved))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    ).save_pretrained(folder)


def write_base(folder: Path, reserved: bool) -> None:
    """Write the base, one shard after another."""
    folder.mkdir(parents=True)
    with torch.device("meta"):
        names = {name: parameter.shape for name, parameter in LlamaForCausalLM(SHAPE).named_parameters()}
    share = sum(shape.numel() for shape in names.values()) / SHARDS
    shards: list[dict[str, torch.Size]] = [{}]
    for name, shape in names.items():
        if sum(held.numel() for held in shards[-1].values()) >= share:
            shards.append({})
        shards[-1][name] = shape
    assert len(shards) == SHARDS
    weight_map: dict[str, str] = {}
    generator = torch.Generator().manual_seed(0)
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        tensors = {
            name: 0.02 * torch.randn(shape, generator=generator).bfloat16() for name, shape in shard.items()
        }
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": weight_map})
    )
    SHAPE.save_pretrained(folder)
    write_tokenizer(folder, reserved)


def memory(name: str) -> float:
    """Return a figure of this process from the kernel, in MB: VmRSS is now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name))


def prepare_here(case: Case, base: Path, stage: Path) -> None:
    """Prepare the base in this process and print what it took as JSON."""
    prepare(ModelSection(random=RandomModel(), template="llama3"), 0, stage / "small")
    imports = memory("VmRSS")
    started = time.perf_counter()
    section = ModelSection.model_validate({"base": str(base), "template": case.template, "dtype": case.dtype})
    figures = prepare(section, 0, stage)
    took = {"peak": memory("VmHWM") - imports, "seconds": time.perf_counter() - started}
    took |= {name: figures[name] for name in ("rows_before", "rows_after")}
    sys.stdout.write(json.dumps(took) + "\n")


@torch.no_grad()
def logits(model: Path, text: str) -> torch.Tensor:
    """Return the logits of a text, computed in bfloat16."""
    ids = AutoTokenizer.from_pretrained(model)(text, return_tensors="pt", add_special_tokens=False)[
        "input_ids"
    ]
    return AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)(ids).logits


def measure(case: Case, folder: Path) -> Measured:
    """Write the base of a case, prepare it in a process of its own, compare, and delete all."""
    base, stage = folder / "base", folder / "stage"
    write_base(base, case.reserved)
    command = [sys.executable, __file__, str(folder), "--case", str(CASES.index(case))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    took = json.loads(done.stdout.splitlines()[-1])
    text = "12 + 30 = 42"
    before, after = logits(base, text), logits(stage / "model", text)
    # Renamed rows are the reserved ones; all words of the base keep theirs.
    old = ROWS - CONTROL_ROWS
    shards = tuple(file.stat().st_size / 1e6 for file in sorted(base.glob("*.safetensors")))
    equal = torch.equal(before[..., :old], after[..., :old])
    shutil.rmtree(base)
    shutil.rmtree(stage)
    return Measured(case.name, shards, old_logits_equal=equal, **took)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        prepare_here(CASES[options.case], options.folder / "base", options.folder / "stage")
        return
    measured = [measure(case, options.folder) for case in CASES]
    table = Table("case", "shards, MB", "peak, MB", "of the largest", "seconds", "rows", "old logits equal")
    for one in measured:
        table.add_row(
            one.case,
            " ".join(f"{size:.0f}" for size in one.shards),
            f"{one.peak:.0f}",
            f"{one.peak / max(one.shards):.2f}",
            f"{one.seconds:.1f}",
            f"{one.rows_before:,} -> {one.rows_after:,}",
            str(one.old_logits_equal),
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in measured], indent=1))


if __name__ == "__main__":
    main()
