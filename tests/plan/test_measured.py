"""The plan's memory and disk against what real ranks of the SFT stage keep, by benchmarks/plan_memory.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.distributed
@pytest.mark.long
def test_what_one_process_and_two_ranks_under_zero_3_keep_is_what_the_plan_says(runs: Path) -> None:
    command = [
        sys.executable,
        "benchmarks/plan_memory.py",
        "recipes/smoke.yaml",
        "--runs",
        str(runs),
        "--json",
    ]
    done = subprocess.run(
        [*command, "--ranks", "1", "--ranks", "2"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    parts = ("weights", "gradients", "optimizer", "activations")
    found = {(line["ranks"], line["rank"], line["part"]): line["ratio"] for line in lines}
    for ranks, rank in ((1, 0), (2, 0), (2, 1)):
        assert [found[ranks, rank, part] for part in parts] == pytest.approx([1.0] * 4, rel=0.01)
        # A small model's checkpoint has as much in it of other things.
        if rank == 0:
            assert 0.85 <= found[ranks, rank, "checkpoint"] <= 1.0
