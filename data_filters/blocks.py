"""The steps of the filter as datatrove blocks: read, verify, hold against held-out problems, write a shard.

A rejected row stays in the stream with its verdict, so that each shard holds every row that was read. Two more
blocks let other pipelines use these: RowsFromDocuments takes what datatrove's own readers read, KeptDocuments
passes on only what is kept, as plain documents:

    pipeline = [JsonlReader(folder, adapter=as_row_document), RowsFromDocuments(source),
                VerifyFilter(VerifySettings()), KeptDocuments(), JsonlWriter(out)]
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from data_filters.contamination import HeldOut, build_index, check
from data_filters.duplicates import duplicate_digest, prompt_digest
from data_filters.formats import parse_row
from data_filters.judged import JudgedRow, unreadable_row
from data_filters.parquet import RawRow, with_json_columns_read
from data_filters.prompt_groups import waits_for_majority
from data_filters.row_fields import RowError
from data_filters.samples import Outcome, Sample, Verdict
from data_filters.sandbox.pool import layers_in_use
from data_filters.segments import Segment, WorkPlan, read_segment
from data_filters.settings import ContaminationSettings, DuplicatesSettings, Source, VerifySettings
from data_filters.shards import written_shard
from data_filters.verify import is_kept, verify

_JUDGED = "judged"
_ROW = "row"


class RowReader(PipelineStep):
    """Read this task's rows of all sources, in order. A row that cannot be read comes with its rejection."""

    type = "Reader"
    name = "rows"

    def __init__(self, plan_file: str) -> None:
        super().__init__()
        self.plan_file = plan_file

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield one document for each row that the plan gives to the task `rank`."""
        yield from data or ()
        task = read_task(Path(self.plan_file), rank)
        read = 0
        for segment in task.segments:
            for number, row in read_segment(segment):
                read += 1
                yield _document(_judged(number, task.sources[segment.source], row))
        self.stat_update("read", value=read)


class RowsFromDocuments(PipelineStep):
    """Take the rows out of documents that datatrove's readers made with the adapter `as_row_document`."""

    type = "Reader"
    name = "rows from documents"

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield each document with its sample, or with the rejection of a row that cannot be read as one.

        Rows without an id of their own are numbered within the task: `<source>/<task>/<number>`.
        """
        source = self.source.model_copy(update={"name": f"{self.source.name}/{rank}"})
        for number, document in enumerate(data or ()):
            judged = _judged(number, source, with_json_columns_read(document.metadata[_ROW]))
            judged.source = self.source.name
            if judged.sample is not None:
                judged.sample.source = self.source.name
            yield _document(judged)


class VerifyFilter(PipelineStep):
    """Judge each sample and say whether it is kept."""

    type = "Filter"
    name = "verify"

    def __init__(self, settings: VerifySettings) -> None:
        super().__init__()
        self.settings = settings

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield every document, with the verdict of its sample."""
        for document in data or ():
            judged: JudgedRow = document.metadata[_JUDGED]
            if judged.sample is not None:
                judged.verdict = verify(judged.sample, self.settings, judged.seconds)
                judged.pending = waits_for_majority(judged.sample, judged.verdict, self.settings)
                judged.kept = not judged.pending and is_kept(judged.sample, judged.verdict, self.settings)
                self.stat_update(_statistic(judged))
            yield document


class ContaminationFilter(PipelineStep):
    """Reject samples whose prompts are held-out problems."""

    type = "Filter"
    name = "contamination"

    def __init__(self, problems: tuple[HeldOut, ...], settings: ContaminationSettings) -> None:
        super().__init__()
        self.problems = problems
        self.settings = settings

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield every document, rejected where it is contaminated."""
        index = build_index(self.problems, self.settings.ngram)
        for document in data or ():
            judged: JudgedRow = document.metadata[_JUDGED]
            if (judged.kept or judged.pending) and judged.sample is not None and self.problems:
                started = time.perf_counter()
                found = check(judged.sample, index, self.settings)
                judged.seconds[found.name] = time.perf_counter() - started
                if found.outcome == Outcome.REFUTED:
                    judged.reject(found)
                    self.stat_update(f"dropped_{found.reason}")
            yield document


class KeptDocuments(PipelineStep):
    """Pass on what is kept, in the form that other blocks of datatrove read."""

    type = "Filter"
    name = "kept"

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield a document for each kept sample: its conversation as text, sample and verdict as metadata."""
        for document in data or ():
            judged: JudgedRow = document.metadata[_JUDGED]
            if judged.kept and judged.sample is not None:
                metadata = {"sample": judged.sample, "verdict": judged.verdict}
                yield Document(
                    _conversation(judged.sample), judged.sample.id, metadata=msgspec.to_builtins(metadata)
                )


class ShardWriter(PipelineStep):
    """Write the task's judged rows, and what the passes over all rows need to know of them, as one shard."""

    type = "Writer"
    name = "shard"

    def __init__(
        self, plan_file: str, shards: str, duplicates: DuplicatesSettings, synthetic: frozenset[str]
    ) -> None:
        super().__init__()
        self.plan_file = plan_file
        self.shards = shards
        self.duplicates = duplicates
        self.synthetic = synthetic

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Write and yield every document."""
        first = read_task(Path(self.plan_file), rank).first
        with written_shard(Path(self.shards), rank, first, self.synthetic) as shard:
            for document in data or ():
                judged: JudgedRow = document.metadata[_JUDGED]
                if judged.sample is not None and (judged.kept or judged.pending):
                    shard.add(judged, *self._digests(judged.sample, judged.pending))
                else:
                    shard.add(judged)
                yield document
            shard.figures.sandbox = layers_in_use()

    def _digests(self, sample: Sample, pending: bool) -> tuple[bytes, bytes, bytes]:
        """What the passes over all rows compare: digest of the row, digest of its prompt, signature."""
        near, by = self.duplicates.near, self.duplicates.by
        duplicate = duplicate_digest(sample, by) if self.duplicates.exact else bytes(16)
        prompt = bytes.fromhex(prompt_digest(sample.prompt)) if pending else bytes(16)
        if near is None:
            return duplicate, prompt, b""
        from data_filters.near_duplicates import signature

        return duplicate, prompt, signature(sample, near, by)


def as_row_document(_reader: Any, data: dict[str, Any], path: str, number: int | str) -> dict[str, Any]:
    """An adapter for datatrove's JsonlReader and ParquetReader: a document that carries the row as it was read."""
    # datatrove leaves out documents without text; what a row says is known only when it has been read.
    return {"text": f"{path}:{number}", "id": f"{path}/{number}", "metadata": {_ROW: data}}


def read_plan(file: Path) -> WorkPlan:
    """The plan that `plan_work` made for the run."""
    return msgspec.json.decode(file.read_bytes(), type=WorkPlan, dec_hook=_decoded)


class TaskPlan(msgspec.Struct, frozen=True):
    """What one task reads; `first` is the place of its first row among all rows."""

    sources: list[Source]
    segments: list[Segment]
    first: int


class _UnreadPlan(msgspec.Struct, frozen=True):
    """A WorkPlan whose tasks are still text: that of a plan of ten thousand takes longer to read than to skip."""

    sources: list[Source]
    tasks: list[msgspec.Raw]
    starts: list[int]


def read_task(file: Path, task: int) -> TaskPlan:
    """The part of one task in the plan that `plan_work` made for the run."""
    plan = msgspec.json.decode(file.read_bytes(), type=_UnreadPlan, dec_hook=_decoded)
    segments = msgspec.json.decode(plan.tasks[task], type=list[Segment])
    return TaskPlan(plan.sources, segments, plan.starts[task])


def _decoded(kind: type, value: Any) -> Any:
    assert kind is Source, f"a plan holds no {kind.__name__}"
    return Source.model_validate(value)


def _statistic(judged: JudgedRow) -> str:
    if judged.pending:
        return "pending"
    return "kept" if judged.kept else f"dropped_{judged.verdict.reason}"


def _document(judged: JudgedRow) -> Document:
    return Document("", judged.verdict.id, metadata={_JUDGED: judged})


def _judged(number: int, source: Source, row: RawRow) -> JudgedRow:
    if isinstance(row, RowError):
        return unreadable_row(number, source.name, row, None)
    try:
        sample = parse_row(row, source, number)
    except RowError as error:
        return unreadable_row(number, source.name, error, row)
    return JudgedRow(source.name, Verdict(sample.id, Outcome.UNVERIFIED, "no_task"), sample=sample)


def _conversation(sample: Sample) -> str:
    """What is said, turn by turn."""
    return "\n\n".join(
        message.content
        if message.reasoning is None
        else f"<think>{message.reasoning}</think>\n{message.content}"
        for message in sample.messages
    )
