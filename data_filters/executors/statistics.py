"""The statistics of finished tasks, added up."""

from __future__ import annotations

import json

from datatrove.executor.base import PipelineExecutor
from datatrove.utils.stats import PipelineStats


def merge_statistics(executor: PipelineExecutor) -> PipelineStats:
    """Add up what each task wrote, write it as stats.json beside the tasks' logs, and return it."""
    total = PipelineStats()
    for rank in range(executor.world_size):
        with executor.logging_dir.open(f"stats/{rank:05d}.json", "rt") as file:
            total += PipelineStats.from_json(json.load(file))
    with executor.logging_dir.open("stats.json", "wt") as file:
        total.save_to_disk(file)
    return total
