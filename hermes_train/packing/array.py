"""The shards of a token store as an array of Slurm jobs: each makes some, as the worker processes of one machine do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from data_filters.executors.engine_log import engine_log
from data_filters.executors.progress import Progress, reported_progress
from data_filters.executors.slurm import ArrayExecutor, ArrayWork
from data_filters.settings import SlurmSettings
from hermes_train.packing.rows import MakerPlan, ShardTask, make_shard, read_plan
from hermes_train.packing.shards import finished_shard


class DocumentShards(PipelineStep):
    """Make the shard of a store that has the task's number."""

    type = "Writer"
    name = "documents"

    def __init__(self, plan: MakerPlan, store: Path, length: int) -> None:
        super().__init__()
        self.plan = plan
        self.store = store
        self.length = length

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Write the shard `rank`; yield nothing, since documents would only be held in memory."""
        yield from data or ()
        segment = read_plan(self.store).segments[rank]
        make_shard(ShardTask(self.plan, segment, self.store, rank, self.length))


def make_shards_in_array(
    plan: MakerPlan,
    store: Path,
    length: int,
    logs: Path,
    workers: int,
    settings: SlurmSettings,
    progress: Progress,
) -> None:
    """Make the shards of a store that are not there yet, in at most `workers` jobs, and wait for them.

    `logs` is a folder for this very store, `progress` hears of every shard that is there. Raises RunFailedError when
    shards are missing in the end, and UserError where there is no Slurm.
    """
    # The jobs must find them from any working directory.
    store = store.resolve()
    plan = replace(plan, model_folder=plan.model_folder.resolve())
    shards = len(read_plan(store).segments)
    block = DocumentShards(plan, store, length)
    executor = ArrayExecutor(ArrayWork("pack", [block], shards, workers, logs, store), settings)
    _mark_what_is_there(executor, store, shards)
    with reported_progress(progress, logs, shards), engine_log(logs):
        executor.run_missing()


def _mark_what_is_there(executor: ArrayExecutor, store: Path, shards: int) -> None:
    """Let marks and shards agree: some may have been made without Slurm, some may have been lost."""
    for number in range(shards):
        if finished_shard(store, number) is not None:
            executor.mark_rank_as_completed(number)
        elif executor.is_rank_completed(number):
            executor.logging_dir.rm(f"completions/{number:05d}")
