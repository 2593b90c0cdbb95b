"""The filter as a whole: datatrove runs the blocks over shards of the rows, one merge writes the files.

A run killed at any moment is started again with the same call: finished shards are skipped, files appear
whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from data_filters.contamination import HeldOut, held_out_problems
from data_filters.executors.engine_log import engine_log
from data_filters.executors.progress import Progress, reported_progress
from data_filters.executors.slurm_queue import end_other_arrays
from data_filters.figures import FilterFigures
from data_filters.files import ASIDE_SUFFIX, is_left_aside, remove_folder_whole, write_atomically
from data_filters.outputs import OUTPUT_FILES
from data_filters.readers import read_rows, source_files
from data_filters.samples import Sample
from data_filters.segments import WorkPlan, plan_work
from data_filters.settings import DataSettings

SHARDS_FOLDER = "shards"
LOGS_FOLDER = "logs"

_PLAN_FILE = "plan.json"
_CROSS_ROWS_FOLDER = "cross-rows"
_LAYOUT_VERSION = 2
"""Raise it when a shard's files get another form, so that a rerun after an update starts afresh."""


@dataclass(frozen=True)
class _Work:
    """One run of the filter: its folders, and what each task reads."""

    settings: DataSettings
    problems: tuple[HeldOut, ...]
    shards: Path
    logs: Path
    plan: WorkPlan

    @property
    def tasks(self) -> int:
        return len(self.plan.tasks)

    @property
    def workers(self) -> int:
        return min(self.settings.engine.workers, self.tasks)


def run_filter(
    settings: DataSettings, held_out: Sequence[Sample], out: Path, progress: Progress | None = None
) -> FilterFigures:
    """Read, verify and sift the rows of all sources into `out`.

    Writes kept.jsonl and rejected.jsonl (or .parquet), verdicts.jsonl, figures.json and logs/. `held_out` are
    samples whose prompts must not be trained on, beside the files that the settings name. Returns the figures.
    Raises UserError for sources that are missing, damaged or empty, and for a mode that no row has; raises
    RunFailedError when workers or jobs were killed.
    """
    for source in settings.sources:
        next(read_rows(source))
    problems = held_out_problems(held_out, settings.contamination.against)
    fingerprint = _fingerprint(settings, problems)
    end_other_arrays(out / LOGS_FOLDER, fingerprint if settings.engine.executor == "slurm" else None)
    shards, logs = _prepare_folders(out, fingerprint)
    work = _Work(settings, problems, shards, logs, _plan(settings, shards))
    _forget_lost_shards(work)
    _run_blocks(work, progress)
    figures = _merge(work, out)
    # The marks go first: a mark without its shard would make a rerun skip rows.
    shutil.rmtree(logs / "completions", ignore_errors=True)
    # Whole: a shard without some of its files would count as finished in a run that starts after a kill here.
    remove_folder_whole(out / SHARDS_FOLDER)
    return figures


def is_own_entry(name: str) -> bool:
    """Whether an entry of an output folder is one that this package writes, finished or not."""
    return name in (*OUTPUT_FILES, SHARDS_FOLDER, LOGS_FOLDER) or any(
        is_left_aside(name, file) for file in (*OUTPUT_FILES, SHARDS_FOLDER)
    )


def _run_blocks(work: _Work, progress: Progress | None) -> None:
    # datatrove takes half a second to import; nothing else of this package needs it.
    from data_filters.blocks import ContaminationFilter, RowReader, ShardWriter, VerifyFilter
    from data_filters.check_processes import close_check_processes

    settings = work.settings
    plan = str((work.shards / _PLAN_FILE).resolve())
    synthetic = frozenset(source.name for source in settings.sources if source.synthetic is not None)
    blocks = [
        RowReader(plan),
        VerifyFilter(settings.verify),
        ContaminationFilter(work.problems, settings.contamination),
        ShardWriter(plan, str(work.shards.resolve()), settings.duplicates, synthetic),
    ]
    with reported_progress(progress, work.logs, work.tasks), engine_log(work.logs):
        try:
            _run_tasks(blocks, work)
        finally:
            close_check_processes()


def _run_tasks(blocks: list[Any], work: _Work) -> None:
    engine = work.settings.engine
    match engine.executor:
        case "local":
            from data_filters.executors.local import QuietLocalExecutor
            from data_filters.shards import remove_asides

            remove_asides(work.shards)
            QuietLocalExecutor(
                blocks,
                tasks=work.tasks,
                workers=work.workers,
                logging_dir=str(work.logs),
                skip_completed=True,
            ).run()
        case "slurm":
            from data_filters.executors.slurm import ArrayExecutor, ArrayWork
            from data_filters.executors.statistics import merge_statistics

            array = ArrayWork("filter", blocks, work.tasks, work.workers, work.logs, work.shards)
            executor = ArrayExecutor(array, engine.slurm)
            executor.run_missing()
            merge_statistics(executor)
        case "ray":
            from data_filters.executors.ray import run_on_ray

            run_on_ray(blocks, work.tasks, work.workers, work.logs, engine.ray)


def _merge(work: _Work, out: Path) -> FilterFigures:
    """Let the rows be held against each other, and put the shards together."""
    from data_filters.cross_rows import find_changes
    from data_filters.merge import merge_shards
    from data_filters.shards import Shards

    shards = Shards(work.shards, work.plan.starts)
    scratch = work.shards / _CROSS_ROWS_FOLDER
    # What a killed run left there is made anew.
    shutil.rmtree(scratch, ignore_errors=True)
    return merge_shards(shards, find_changes(shards, work.settings, scratch), work.settings, out)


def _prepare_folders(out: Path, fingerprint: str) -> tuple[Path, Path]:
    """The folders of shards and logs for this very input; those of other inputs are removed."""
    shards, logs = out / SHARDS_FOLDER / fingerprint, out / LOGS_FOLDER / fingerprint
    for name in OUTPUT_FILES:
        for aside in out.glob(f".{name}.*{ASIDE_SUFFIX}"):
            aside.unlink()
    for aside in out.glob(f".{SHARDS_FOLDER}.*{ASIDE_SUFFIX}"):
        shutil.rmtree(aside)
    for folder in (shards, logs):
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other.is_dir() and other.name != fingerprint:
                # What a kill leaves of it has another name than any fingerprint, and goes in the next run.
                remove_folder_whole(other)
    return shards, logs


def _plan(settings: DataSettings, shards: Path) -> WorkPlan:
    """What each task reads: as an interrupted run cut it, whatever the number of workers is now."""
    from data_filters.blocks import read_plan

    file = shards / _PLAN_FILE
    if not file.is_file():
        plan = plan_work(settings.sources, settings.engine, shards)
        with write_atomically(file, "wb") as out:
            out.write(msgspec.json.encode(plan, enc_hook=lambda source: source.model_dump(mode="json")))
    return read_plan(file)


def _forget_lost_shards(work: _Work) -> None:
    """Remove marks of finished tasks whose shards are gone."""
    from data_filters.shards import shard_folder

    completions = work.logs / "completions"
    for mark in completions.iterdir() if completions.is_dir() else ():
        if not shard_folder(work.shards, int(mark.name)).is_dir():
            mark.unlink()


def _fingerprint(settings: DataSettings, problems: tuple[HeldOut, ...]) -> str:
    """A name for all that the shards depend on: settings, files as they are, problems, number of tasks asked for."""
    files = [
        (str(file), status.st_size, status.st_mtime_ns)
        for source in settings.sources
        for file in source_files(source)
        for status in (file.stat(),)
    ]
    parts = [
        _LAYOUT_VERSION,
        settings.engine.tasks,
        settings.model_dump(mode="json", exclude={"engine"}),
        files,
        [(problem.id, problem.prompt) for problem in problems],
    ]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()
