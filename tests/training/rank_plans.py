"""Which small stages are trained by how many ranks: one launch trains many, since a launch costs more than a stage."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from small_stages import Planned, write_plan

from hermes_train.training.watch.metrics import read_metrics

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "small_stages.py"

STAGES = ("sft", "hybrid", "dpo", "lora")
"""Compared in float32; `hybrid` goes on from what one process made of `sft`, and `dpo` from its `hybrid`."""


def same_stages(root, name):
    """The stages that every number of ranks trains."""
    # All begin with the very same weights: AdamW's first steps enlarge the smallest difference.
    folder, first = root / name, root / "one"
    packs, pairs = str(root / "packs"), str(root / "pairs")

    def stage(kind, origin, **settings):
        return Planned(str(folder / kind), str(origin), packs, **settings)

    return [
        stage("sft", root / "model"),
        stage("hybrid", first / "sft" / "model"),
        replace(stage("dpo", first / "hybrid" / "model"), data=pairs, pairs=True),
        stage("lora", root / "model", lora=True),
        stage("bf16", root / "model", precision="bf16"),
    ]


def moved_stages(root, name, stop_after=None):
    """Stages that one number of ranks begins and another ends."""
    packs = str(root / "packs")
    sft = Planned(str(root / name / "sft"), str(root / "model"), packs, steps=6, stop_after=stop_after)
    return [sft, replace(sft, folder=str(root / name / "lora"), lora=True)]


def zero_stages(root, name):
    """SFT under the other ZeRO stages."""
    packs = str(root / "packs")
    return [
        Planned(str(root / name / f"zero{stage}"), str(root / "model"), packs, parallel={"zero_stage": stage})
        for stage in (0, 1, 2)
    ]


def shared_packs(root, stop_after=None):
    """SFT in which two ranks share each pack, begun by two ranks and ended by four; the last of its launches, since
    DeepSpeed makes such groups once in a process."""
    shared = {"sequence_parallel": 2}
    packs = str(root / "packs")
    return [
        Planned(
            str(root / "shared"),
            str(root / "model"),
            packs,
            steps=6,
            stop_after=stop_after,
            parallel=shared,
        )
    ]


def second_copies(root, name):
    """SFT in which two ranks share a second copy of the weights (hpZ)."""
    parallel = {"hierarchical_partition": 2}
    return [Planned(str(root / name / "hpz"), str(root / "model"), str(root / "packs"), parallel=parallel)]


def rank_plans(root):
    """All launches, in order: (ranks, stages)."""
    return [
        (1, [*same_stages(root, "one"), *moved_stages(root, "unbroken")]),
        (
            2,
            [
                *same_stages(root, "two"),
                *zero_stages(root, "two"),
                *moved_stages(root, "from_2_to_4", 3),
                *shared_packs(root, 3),
            ],
        ),
        (
            4,
            [
                *same_stages(root, "four"),
                *second_copies(root, "four"),
                *moved_stages(root, "from_2_to_4"),
                *moved_stages(root, "from_4_to_1", 3),
                *shared_packs(root),
            ],
        ),
        (1, moved_stages(root, "from_4_to_1")),
    ]


def train_on_ranks(root, ranks, stages):
    """Train stages in turn on so many ranks."""
    plan = write_plan(root / "plan.json", stages)
    launcher = [sys.executable]
    if ranks > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(plan)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def losses(stage):
    """The losses of a stage's steps."""
    found = [line["loss"] for line in read_metrics(stage / "metrics.jsonl")]
    assert found
    return found


def assert_same_weights(one, other, tolerance):
    """Compare two models tensor by tensor, by the norm of the difference."""
    alone, together = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert alone.keys() == together.keys()
    differences = {
        name: float((weight - together[name]).norm() / weight.norm()) for name, weight in alone.items()
    }
    assert max(differences.values()) <= tolerance, max(differences.items(), key=lambda item: item[1])
