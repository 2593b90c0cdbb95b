"""The tasks on a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datatrove.executor.ray import RayPipelineExecutor
from datatrove.utils.stats import PipelineStats

from data_filters.errors import RunFailedError, UserError
from data_filters.executors.statistics import merge_statistics
from data_filters.settings import RaySettings


def run_on_ray(
    blocks: list[Any], tasks: int, workers: int, logs: Path, settings: RaySettings
) -> PipelineStats:
    """Run the shards that are not marked as finished and return all shards' counts.

    Raises UserError when Ray is not installed or its cluster is not there, and RunFailedError when shards are
    missing in the end.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "engine.executor is ray, but Ray is not installed; install hermes-train[ray], or set "
            "engine.executor: local"
        ) from error
    _connect(ray, settings.address)
    executor = RayPipelineExecutor(
        blocks,
        tasks=tasks,
        workers=workers,
        logging_dir=str(logs.resolve()),
        cpus_per_task=settings.cpus,
        mem_per_cpu_gb=settings.memory_gigabytes_per_worker / settings.cpus,
    )
    try:
        executor.run()
    finally:
        ray.shutdown()
    missing = executor.get_incomplete_ranks(skip_completed=True)
    if missing:
        raise RunFailedError(
            f"{len(missing)} of {tasks} shards failed on Ray, the first is {missing[0]}; see "
            f"{logs / 'logs' / f'task_{missing[0]:05d}.log'}; the same command runs the missing shards again"
        )
    return merge_statistics(executor)


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise UserError(
            f"engine.ray.address is {address!r}, but no Ray cluster is found there; start one with `ray start "
            "--head`, or set engine.ray.address: local"
        ) from error
