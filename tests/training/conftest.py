import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hermes_train.packing.preferences import FEATURES
from hermes_train.training.weights.checkpoint_files import Checkpoint, open_checkpoint

# The stages that several tests train lie beside them.
sys.path.append(str(Path(__file__).parent))

WriteShards = Callable[..., Checkpoint]


@pytest.fixture(scope="session")
def write_shards() -> WriteShards:
    """Writes dictionaries of tensors as a model's files, with an index where there are several."""

    def write(folder: Path, *shards: dict[str, torch.Tensor]) -> Checkpoint:
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"model-{number + 1:05}-of-{len(shards):05}.safetensors" for number in range(len(shards))]
        if len(shards) == 1:
            names = ["model.safetensors"]
        for name, tensors in zip(names, shards, strict=True):
            save_file(tensors, folder / name, metadata={"format": "pt"})
        if len(shards) > 1:
            weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return open_checkpoint(folder)

    return write


@dataclass(frozen=True)
class TinyPairs:
    """A random two-layer Llama in `model/`, and preference pairs of random tokens in `pairs/`."""

    folder: Path
    rows: list[dict[str, Any]]
    longest: int

    def model(self) -> LlamaForCausalLM:
        """The model, in float32."""
        return LlamaForCausalLM.from_pretrained(self.folder / "model", dtype=torch.float32)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its tokenizer; nothing is tokenised."""
        return PreTrainedTokenizerFast.from_pretrained(self.folder / "model")


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> TinyPairs:
    """24 pairs of up to 96 tokens, two of three in think mode, and a model whose weights bfloat16 holds exactly."""
    folder, vocabulary, longest = tmp_path_factory.mktemp("tiny_pairs"), 256, 96
    words = {f"<{number}>": number for number in range(vocabulary)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<1>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<0>", eos_token="<2>")
    fast.save_pretrained(folder / "model")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        initializer_range=0.1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).bfloat16().float().save_pretrained(folder / "model")
    draw = np.random.default_rng(0)

    def tokens(most: int) -> list[int]:
        return draw.integers(3, vocabulary, draw.integers(1, most)).tolist()

    rows = [
        {
            "id": f"pair/{number}",
            "kind": "trace",
            "mode": ("think", "direct")[number % 3 == 0],
            "prompt_ids": tokens(longest // 4),
            "chosen_ids": tokens(longest * 3 // 4),
            "rejected_ids": tokens(longest * 3 // 4),
        }
        for number in range(24)
    ]
    Dataset.from_list(rows, features=FEATURES).save_to_disk(str(folder / "pairs"))
    return TinyPairs(folder, rows, longest)


@pytest.fixture(scope="session")
def rank_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small stages trained by one, two and four ranks, a folder for each stage; see rank_plans.py."""
    from rank_plans import rank_plans, train_on_ranks
    from small_stages import write_model, write_packs, write_pairs

    root = tmp_path_factory.mktemp("ranks")
    write_model(root / "model")
    write_packs(root / "packs")
    write_pairs(root / "pairs")
    for ranks, stages in rank_plans(root):
        train_on_ranks(root, ranks, stages)
    return root
