"""A rank that loads a model under ZeRO-3 and says what that took.

    torchrun --nproc_per_node 2 load_on_ranks.py MODEL

Each rank prints a line of JSON: its peak of memory while it loaded, beyond what it had before, in bytes; what its parts
take; and on rank 0 whether every weight, gathered, is the stored one.
"""

import json
import sys
import threading
from pathlib import Path

import psutil
import torch
import torch.distributed
from safetensors import safe_open

from hermes_train.training import ranks


class Peak:
    """The most memory of its own that this process has while the block runs, beyond what it had before."""

    def __enter__(self):
        self.process = psutil.Process()
        self.before = self.process.memory_full_info().uss
        self.bytes, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.wait(0.002):
            self.bytes = max(self.bytes, self.process.memory_full_info().uss - self.before)

    def __exit__(self, *exception):
        self.ended.set()
        self.thread.join()


def main(folder):
    ranks.use_cpu()
    torch.distributed.init_process_group("gloo")
    ranks.join_deepspeed()
    from deepspeed import zero
    from transformers.integrations import HfDeepSpeedConfig

    from hermes_train.training.model import load_for_training

    kept = HfDeepSpeedConfig(
        {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": True}}
    )
    with Peak() as peak:
        model = load_for_training(folder, "auto", False, torch.bfloat16)
    assert kept.is_zero3()
    own = sum(parameter.ds_tensor.nbytes for parameter in model.parameters())
    equal = True
    stored = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            stored |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - a file, not a dict
    for name, parameter in model.named_parameters():
        with zero.GatheredParameters([parameter]):
            equal = equal and torch.equal(parameter.cpu(), stored[name])
    said = json.dumps({"rank": ranks.rank(), "peak": peak.bytes, "own": own, "equal": equal})
    Path(f"{sys.argv[2]}-{ranks.rank()}.json").write_text(said)


main(Path(sys.argv[1]))
