"""Kept rows into the shards of a token store, by many processes; a run that was killed goes on where it was.

The file of kept rows is cut by its rows alone, so that a store's bytes are the same for any number of workers and
however often the run was killed. `plan.json` in the store's folder holds the cut, and a fingerprint of all that the
shards depend on: shards of another fingerprint are removed, finished ones are kept.
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from data_filters.executors.processes import WorkerPool, worker_pool
from data_filters.files import ASIDE_SUFFIX, write_atomically
from data_filters.outputs import read_kept_segment
from data_filters.samples import Mode, Sample
from data_filters.segments import Segment, plan_file
from hermes_train.chat.history import mode_of
from hermes_train.packing.documents import DocumentMaker, Tally, load_maker
from hermes_train.packing.shards import RowCounts, finished_shard, write_shard
from hermes_train.recipe.schema import ModelSection, PackSection

Item = TypeVar("Item")
Result = TypeVar("Result")

_ROWS_PER_SHARD = 1000
_MOST_SHARDS = 1024
"""A kill costs each worker a shard at most. Shards grow only when there would be too many files."""

_LAYOUT_VERSION = 1
"""Raise it when a shard gets another form, so that a rerun after an update starts afresh."""

_PLAN_FILE = "plan.json"
_WEIGHTS = (".safetensors", ".safetensors.index.json")


class StorePlan(msgspec.Struct, frozen=True):
    """`plan.json`: what the shards of a store were made from, and which rows belong to each."""

    fingerprint: str
    segments: list[Segment]


@dataclass(frozen=True)
class MakerPlan:
    """Where to find what renders and tokenises: small enough to go to each process, which loads it for itself."""

    model_folder: Path
    model: ModelSection
    pack: PackSection
    seed: int

    def maker(self) -> DocumentMaker:
        """Return the maker of this process; it is loaded once."""
        return _loaded(
            self.model_folder, self.model.model_dump_json(), self.pack.model_dump_json(), self.seed
        )

    def fingerprint(self) -> str:
        """Return a name for all that a document depends on, its row aside."""
        files = sorted(
            path
            for path in self.model_folder.iterdir()
            if path.is_file() and not path.name.endswith(_WEIGHTS)
        )
        parts = [
            _LAYOUT_VERSION,
            [version(name) for name in ("hermes-train", "tokenizers", "transformers")],
            [(path.name, hashlib.blake2b(path.read_bytes()).hexdigest()) for path in files],
            self.model.system.model_dump(mode="json"),
            self.pack.history,
            self.pack.control_text,
            self.seed,
        ]
        return name_of(parts)


@lru_cache(maxsize=1)
def _loaded(model_folder: Path, model: str, pack: str, seed: int) -> DocumentMaker:
    return load_maker(
        model_folder,
        ModelSection.model_validate_json(model),
        PackSection.model_validate_json(pack),
        seed,
    )


@dataclass(frozen=True)
class ShardTask:
    """One shard to be made: the documents of a segment's rows that have at most `length` tokens."""

    plan: MakerPlan
    segment: Segment
    folder: Path
    number: int
    length: int


def name_of(parts: Any) -> str:
    """Return 32 hexadecimal digits that name a JSON value."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def store_fingerprint(kept: Path, plan: MakerPlan, length: int) -> str:
    """Return a name for all that the shards of a store depend on.

    `kept` is absolute: a run may go on from another working directory.
    """
    status = kept.stat()
    return name_of([plan.fingerprint(), length, str(kept), status.st_size, status.st_mtime_ns])


def open_plan(kept: Path, fingerprint: str, folder: Path) -> StorePlan:
    """Return how the file of kept rows is cut; what `folder` holds of another fingerprint is removed."""
    if begin_store(folder, fingerprint):
        return read_plan(folder)
    found = StorePlan(fingerprint, plan_file(kept, _ROWS_PER_SHARD, _MOST_SHARDS))
    _write_plan(folder / _PLAN_FILE, found)
    return found


def read_plan(folder: Path) -> StorePlan:
    """Return the plan of the store in `folder`, which was begun."""
    return msgspec.json.decode((folder / _PLAN_FILE).read_bytes(), type=StorePlan)


def begin_store(folder: Path, fingerprint: str) -> bool:
    """Make a store's folder ready. Returns whether it was begun before with this fingerprint, and so goes on.

    What was begun with another is removed, and so are files that a killed run left half-written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for aside in folder.glob(f".*{ASIDE_SUFFIX}"):
        aside.unlink()
    file = folder / _PLAN_FILE
    if file.is_file() and _fingerprint_in(file) == fingerprint:
        return True
    shutil.rmtree(folder)
    folder.mkdir()
    return False


def declare_store(folder: Path, fingerprint: str) -> None:
    """Say what the shards of a store depend on that is not cut from a file of rows as a whole."""
    _write_plan(folder / _PLAN_FILE, StorePlan(fingerprint, []))


def _write_plan(file: Path, plan: StorePlan) -> None:
    with write_atomically(file, "wb") as out:
        out.write(msgspec.json.encode(plan) + b"\n")


def _fingerprint_in(file: Path) -> str | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=StorePlan).fingerprint
    except msgspec.DecodeError:
        # Of another version, or damaged: the store is made anew.
        return None


def unfinished(tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """Return the tasks whose shards are not there, or not as long as they were written."""
    return [task for task in tasks if finished_shard(task.folder, task.number) is None]


def make_shard(task: ShardTask) -> None:
    """Write the shard of a task."""
    tally, rows = Tally(), Counter[tuple[str, Mode]]()
    samples = _counted((sample for _, sample in read_kept_segment(task.segment)), rows)
    pack = task.plan.pack
    documents = task.plan.maker().documents(samples, pack.history, task.length, tally)
    write_shard(task.folder, task.number, documents, lambda: row_counts(tally, rows))


def _counted(samples: Iterable[Sample], rows: Counter[tuple[str, Mode]]) -> Iterator[Sample]:
    for sample in samples:
        rows[sample.source, mode_of(sample.messages)] += 1
        yield sample


def row_counts(tally: Tally, rows: Counter[tuple[str, Mode]]) -> list[RowCounts]:
    """Return what became of the rows, by source and mode. A row with several turns may give documents of both modes."""
    return [
        RowCounts(
            name,
            mode,
            rows[name, mode],
            (count := tally.of(name, mode)).documents,
            count.tokens,
            count.label_tokens,
            dict(sorted(count.dropped.items())),
        )
        for name, mode in sorted({*rows, *tally.counts})
    ]


class Workers:
    """The processes that work on tasks; one worker is this process."""

    def __init__(self, pool: WorkerPool | None) -> None:
        self._pool = pool

    def run(
        self, function: Callable[[Item], Result], tasks: Sequence[Item], tick: Callable[[], None]
    ) -> list[Result]:
        """Return what `function` returns for each task, as they were done; `tick` is called after each.

        Raises RunFailedError when a worker was killed.
        """
        if self._pool is None or len(tasks) < 2:
            results: Iterable[Result] = map(function, tasks)
        else:
            results = self._pool.run(function, tasks)
        done = []
        for result in results:
            done.append(result)
            tick()
        return done


@contextmanager
def started_workers(count: int) -> Iterator[Workers]:
    """Give `count` processes for as long as there are tasks."""
    if count == 1:
        yield Workers(None)
        return
    # Seconds of imports and hundreds of megabytes that would otherwise be each worker's own.
    preload = ["hermes_train.packing.hybrid"]
    with worker_pool(count, "the pack stage", _prepare_worker, preload=preload) as pool:
        yield Workers(pool)


def _prepare_worker() -> None:
    # Each worker's tokenizer would start a thread for each core, and they would only wait for each other.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # The imported libraries hold half a million objects, which need not be looked through for garbage again and again.
    gc.freeze()
