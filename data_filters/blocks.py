"""The steps of the filter as datatrove blocks: read, verify, hold against held-out problems, write a shard.

A rejected row stays in the stream with its verdict, so that each shard holds every row that was read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from data_filters.contamination import HeldOut, build_index, check
from data_filters.files import write_atomically
from data_filters.formats import RowError, parse_row
from data_filters.judged import JudgedRow, shard_file, unreadable_row
from data_filters.readers import read_rows
from data_filters.samples import Outcome, Verdict
from data_filters.settings import ContaminationSettings, Source, VerifySettings
from data_filters.verify import is_kept, verify

_JUDGED = "judged"


class RowReader(PipelineStep):
    """Read this task's rows of all sources, in order. A row that cannot be read comes with its rejection."""

    type = "Reader"
    name = "rows"

    def __init__(self, sources: list[Source]) -> None:
        super().__init__()
        self.sources = sources

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Yield one document for each row whose number modulo `world_size` is `rank`."""
        yield from data or ()
        for position, source in enumerate(self.sources):
            for number, row in read_rows(source, rank, world_size):
                self.stat_update("read")
                judged = _read(position, number, source, row)
                yield Document("", judged.verdict.id, metadata={_JUDGED: judged})


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
                judged.kept = is_kept(judged.sample, judged.verdict, self.settings)
                self.stat_update("kept" if judged.kept else f"dropped_{judged.verdict.reason}")
            yield document


class ContaminationFilter(PipelineStep):
    """Reject kept samples whose prompts are held-out problems."""

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
            if judged.kept and judged.sample is not None and self.problems:
                started = time.perf_counter()
                found = check(judged.sample, index, self.settings)
                judged.seconds[found.name] = time.perf_counter() - started
                if found.outcome == Outcome.REFUTED:
                    judged.reject(found)
                    self.stat_update(f"dropped_{found.reason}")
            yield document


class ShardWriter(PipelineStep):
    """Write the task's judged rows as one file that appears whole at the end."""

    type = "Writer"
    name = "shard"

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def run(
        self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """Write and yield every document."""
        encoder = msgspec.json.Encoder()
        with write_atomically(shard_file(Path(self.folder), rank), "wb") as file:
            for document in data or ():
                file.write(encoder.encode(document.metadata[_JUDGED]) + b"\n")
                yield document


def _read(position: int, number: int, source: Source, row: dict[str, object] | RowError) -> JudgedRow:
    if isinstance(row, RowError):
        return unreadable_row(position, number, source.name, row, None)
    try:
        sample = parse_row(row, source, number)
    except RowError as error:
        return unreadable_row(position, number, source.name, error, row)
    not_yet = Verdict(sample.id, Outcome.UNVERIFIED, "no_task")
    return JudgedRow(position, number, source.name, not_yet, sample=sample)
