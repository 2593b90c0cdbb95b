import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hermes_train.training.checkpoint_files import Checkpoint, open_checkpoint

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
