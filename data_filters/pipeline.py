"""The filter as a whole: datatrove runs the blocks over shards of the rows, one merge writes the files.

A run killed at any moment is started again with the same call: finished shards are skipped, files appear
whole.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import msgspec

from data_filters.contamination import HeldOut, held_out_problems
from data_filters.figures import FilterFigures
from data_filters.files import ASIDE_SUFFIX, is_left_aside, write_jsonl
from data_filters.judged import shard_file
from data_filters.merge import OUTPUT_FILES, merge_shards
from data_filters.readers import RawRow, read_rows, source_files
from data_filters.samples import Sample
from data_filters.settings import DataSettings, EngineSettings, Source
from data_filters.verifiers import math_pool

Progress = Callable[[int, int], None]
"""Called with the number of finished shards and the number of all shards."""

SHARDS_FOLDER = "shards"
LOGS_FOLDER = "logs"

_SHARDS_PER_WORKER = 4
_LAYOUT_VERSION = 1
"""Raise it when a shard's rows get another form, so that a rerun after an update starts afresh."""
_PROGRESS_SECONDS = 0.25


def run_filter(
    settings: DataSettings, held_out: Sequence[Sample], out: Path, progress: Progress | None = None
) -> FilterFigures:
    """Read, verify and sift the rows of all sources into `out`.

    Writes kept.jsonl, rejected.jsonl, verdicts.jsonl, figures.json and logs/. `held_out` are samples whose
    prompts must not be trained on, beside the files that the settings name. Returns the figures. Raises
    UserError for sources that are missing, damaged or empty, and for a mode that no row has.
    """
    for source in settings.sources:
        next(read_rows(source))
    problems = held_out_problems(held_out, settings.contamination.against)
    tasks = settings.engine.tasks or _SHARDS_PER_WORKER * settings.engine.workers
    shards, logs = _prepare_folders(out, _fingerprint(settings, problems, tasks))
    sources = [_as_files(source, shards) for source in settings.sources]
    _run_blocks(settings, sources, problems, tasks, shards, logs, progress)
    figures = merge_shards([shard_file(shards, rank) for rank in range(tasks)], settings, out)
    # The marks go first: a mark without its shard would make a rerun skip rows.
    shutil.rmtree(logs / "completions", ignore_errors=True)
    # A worker that outlived a killed run may still be writing there; its shard is the same and does no harm.
    shutil.rmtree(out / SHARDS_FOLDER, ignore_errors=True)
    return figures


def is_own_entry(name: str) -> bool:
    """Whether an entry of an output folder is one that this package writes, finished or not."""
    return name in (*OUTPUT_FILES, SHARDS_FOLDER, LOGS_FOLDER) or any(
        is_left_aside(name, file) for file in OUTPUT_FILES
    )


def _run_blocks(
    settings: DataSettings,
    sources: list[Source],
    problems: tuple[HeldOut, ...],
    tasks: int,
    shards: Path,
    logs: Path,
    progress: Progress | None,
) -> None:
    # datatrove takes half a second to import; nothing else of this package needs it.
    from data_filters.blocks import ContaminationFilter, RowReader, ShardWriter, VerifyFilter

    blocks = [
        RowReader(sources),
        VerifyFilter(settings.verify),
        ContaminationFilter(problems, settings.contamination),
        ShardWriter(str(shards)),
    ]
    with _report_progress(progress, logs / "completions", tasks), _quiet(logs / "engine.log"):
        try:
            _make_executor(blocks, tasks, settings.engine, logs).run()
        finally:
            math_pool.close()


def _make_executor(blocks: list[Any], tasks: int, engine: EngineSettings, logs: Path) -> Any:
    from data_filters.executor import QuietLocalExecutor

    return QuietLocalExecutor(
        blocks, tasks=tasks, workers=min(engine.workers, tasks), logging_dir=str(logs), skip_completed=True
    )


def _prepare_folders(out: Path, fingerprint: str) -> tuple[Path, Path]:
    """The folders of shards and logs for this very input; those of other inputs are removed."""
    shards, logs = out / SHARDS_FOLDER / fingerprint, out / LOGS_FOLDER / fingerprint
    for name in OUTPUT_FILES:
        for aside in out.glob(f".{name}.*{ASIDE_SUFFIX}"):
            aside.unlink()
    for folder in (shards, logs):
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other.is_dir() and other.name != fingerprint:
                shutil.rmtree(other)
    completions = logs / "completions"
    for mark in completions.iterdir() if completions.is_dir() else ():
        if not shard_file(shards, int(mark.name)).is_file():
            mark.unlink()
    return shards, logs


def _fingerprint(settings: DataSettings, problems: tuple[HeldOut, ...], tasks: int) -> str:
    """A name for all that the shards depend on: settings, files as they are, problems, shard count."""
    files = [
        (str(file), status.st_size, status.st_mtime_ns)
        for source in settings.sources
        for file in source_files(source)
        for status in (file.stat(),)
    ]
    parts = [
        _LAYOUT_VERSION,
        tasks,
        settings.model_dump(mode="json", exclude={"engine"}),
        files,
        [(problem.id, problem.prompt) for problem in problems],
    ]
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def _as_files(source: Source, shards: Path) -> Source:
    """Write a program's rows to a file once, so that not every shard has to make them all again."""
    if source.synthetic is None:
        return source
    file = shards / f"rows-{source.name}.jsonl"
    if not file.is_file():
        write_jsonl(file, (_without_id(row) for _, row in read_rows(source)))
    # The program has already kept to the mode, but a faulty row may miss its thought; leave that to the
    # verifier.
    return Source(name=source.name, path=str(file), format="openai", task=source.task)


def _without_id(row: RawRow) -> dict[str, Any]:
    """A made row to be numbered by its source: two sources of one kind make rows of the same ids."""
    assert isinstance(row, dict), "a program makes rows that can be read"
    return {name: value for name, value in row.items() if name != "id"}


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send what datatrove says about itself to a file."""
    with redirect_stderr(io.StringIO()):
        from datatrove.utils.logging import logger
    logger.remove()
    logger.add(log, level="DEBUG")
    try:
        yield
    finally:
        # Each task of a run in this process has put datatrove's own handler back.
        logger.remove()


@contextmanager
def _report_progress(progress: Progress | None, completions: Path, tasks: int) -> Iterator[None]:
    """Watch the marks of finished shards and pass their number on, at the latest when the work is done."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch(report: Progress) -> None:
        while not done.wait(_PROGRESS_SECONDS):
            report(_finished(completions), tasks)

    watcher = threading.Thread(target=watch, args=(progress,), daemon=True)
    watcher.start()
    try:
        yield
        done.set()
        watcher.join()
        progress(_finished(completions), tasks)
    finally:
        done.set()
        watcher.join()


def _finished(completions: Path) -> int:
    return sum(1 for _ in completions.iterdir()) if completions.is_dir() else 0
