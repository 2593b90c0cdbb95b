"""Under ZeRO-3 a rank reads its own part of each weight, and never holds the whole model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.distributed, pytest.mark.long]


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    """What two ranks say of loading a model of 269 MB in four files."""
    folder = tmp_path_factory.mktemp("loading")
    config = LlamaConfig(
        vocab_size=4096, hidden_size=1024, intermediate_size=4096, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "model", max_shard_size="80MB")
    assert len(list(folder.glob("model/*.safetensors"))) == 4
    script = Path(__file__).parent / "load_on_ranks.py"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
    ]
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    arguments = [str(folder / "model"), str(folder / "said")]
    done = subprocess.run(
        [*command, *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"said-{rank}.json").read_text()) for rank in range(2)]


def test_every_weight_comes_out_as_it_is_stored(loads):
    assert loads[0]["equal"]


def test_no_rank_holds_the_whole_model_while_it_loads(loads):
    # The parts are halves; transformers' from_pretrained takes twice the whole on rank 0. Some tens of megabytes on
    # the other rank are buffers of its connections, whatever the size of the model.
    assert loads[0]["peak"] < 1.3 * loads[0]["own"], loads
    assert loads[1]["peak"] < 2 * loads[1]["own"], loads
