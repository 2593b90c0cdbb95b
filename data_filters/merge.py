"""Shards of judged rows -> the output files, in the order of sources and rows for any number of workers.

The shards hold the lines of the output already. They are copied; only rows that the passes over all rows have
changed are read and written anew.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO

import msgspec

from data_filters.changes import Changes
from data_filters.errors import UserError
from data_filters.figures import FilterFigures
from data_filters.files import copy_bytes, write_atomically
from data_filters.judged import JudgedRow, rejected_record
from data_filters.outputs import (
    FIGURES_FILE,
    KEPT,
    REJECTED,
    VERDICTS_FILE,
    RowsOutput,
    kept_output,
    rejected_output,
)
from data_filters.samples import Check, Sample, Verdict
from data_filters.settings import DataSettings, Source
from data_filters.shards import KEPT as KEPT_LINES
from data_filters.shards import PENDING as PENDING_LINES
from data_filters.shards import REJECTED as REJECTED_LINES
from data_filters.shards import VERDICTS as VERDICT_LINES
from data_filters.shards import Shards
from data_filters.verify import is_kept


def merge_shards(shards: Shards, changes: Changes, settings: DataSettings, out: Path) -> FilterFigures:
    """Write the kept and the rejected rows, verdicts.jsonl and figures.json into `out`, each whole.

    `settings` are those of the recipe. Returns the figures. Raises UserError, with nothing written, when a
    source has no row of the mode it asks for.
    """
    form = settings.engine.output
    figures = FilterFigures()
    with ExitStack() as files:
        merge = _Merge(
            settings,
            figures,
            kept=files.enter_context(kept_output(out, form)),
            rejected=files.enter_context(rejected_output(out, form)),
            verdicts=files.enter_context(write_atomically(out / VERDICTS_FILE, "wb")),
        )
        for task in shards.tasks:
            figures.merge(shards.figures(task))
            merge.add_shard(shards, task, changes.of(task))
        _require_modes(settings.sources, figures)
        _require_every_row(figures, shards.rows)
    with write_atomically(out / FIGURES_FILE, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(figures.to_dict()), indent=2) + b"\n")
    other = "parquet" if form == "jsonl" else "jsonl"
    for name in (KEPT, REJECTED):
        (out / f"{name}.{other}").unlink(missing_ok=True)
    return figures


class _Merge:
    """The open outputs, and the figures of what goes into them."""

    def __init__(
        self,
        settings: DataSettings,
        figures: FilterFigures,
        kept: RowsOutput,
        rejected: RowsOutput,
        verdicts: IO[bytes],
    ) -> None:
        self._settings = settings
        self._figures = figures
        self._kept, self._rejected, self._verdicts = kept, rejected, verdicts
        self._synthetic = {source.name for source in settings.sources if source.synthetic is not None}
        self._encoder = msgspec.json.Encoder()

    def add_shard(self, shards: Shards, task: int, changed: dict[int, list[Check]]) -> None:
        """Put out one shard's rows; `changed` has what the passes over all rows found of some of them."""
        with ExitStack() as files:
            lines = _ShardLines(shards.shard(task), files)
            for record in shards.index(task):
                checks = changed.get(int(record["number"]), [])
                if checks or record["pending"]:
                    self._copy(
                        lines, int(record["kept_at"]), int(record["rejected_at"]), int(record["verdict_at"])
                    )
                    self._put_out(lines.pending_row() if record["pending"] else lines.kept_row(), checks)
            self._copy(lines, None, None, None)

    def _copy(
        self, lines: _ShardLines, kept_at: int | None, rejected_at: int | None, verdict_at: int | None
    ) -> None:
        self._kept.copy(lines.kept, kept_at)
        self._rejected.copy(lines.rejected, rejected_at)
        copy_bytes(lines.verdicts, verdict_at, self._verdicts)

    def _put_out(self, judged: JudgedRow, checks: list[Check]) -> None:
        sample = judged.sample
        assert sample is not None, "only samples are kept or pending"
        is_synthetic = judged.source in self._synthetic
        if judged.pending:
            judged.decide(checks[0])
            judged.kept = is_kept(sample, judged.verdict, self._settings.verify)
            for check in checks[1:]:
                judged.reject(check)
            self._figures.add_row(judged, is_synthetic)
        else:
            (check,) = checks
            judged.reject(check)
            self._figures.reject_kept(judged.source, sample, judged.verdict, check, is_synthetic)
        if judged.kept:
            self._kept.write(self._encoder.encode(sample) + b"\n")
        else:
            self._rejected.write(self._encoder.encode(rejected_record(judged)) + b"\n")
        self._verdicts.write(self._encoder.encode(judged.verdict) + b"\n")


class _ShardLines:
    """The files of a shard, read from beginning to end."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        def opened(name: str) -> IO[bytes]:
            return files.enter_context((folder / name).open("rb"))

        self.kept, self.rejected, self.verdicts, self._pending = map(
            opened, (KEPT_LINES, REJECTED_LINES, VERDICT_LINES, PENDING_LINES)
        )

    def kept_row(self) -> JudgedRow:
        """Read the next kept row, which the outputs do not get from here."""
        sample = _SAMPLE.decode(self.kept.readline())
        verdict = _VERDICT.decode(self.verdicts.readline())
        return JudgedRow(sample.source, verdict, kept=True, sample=sample)

    def pending_row(self) -> JudgedRow:
        """Read the next pending row, and pass over its verdict."""
        self.verdicts.readline()
        return _JUDGED.decode(self._pending.readline())


_SAMPLE = msgspec.json.Decoder(Sample)
_VERDICT = msgspec.json.Decoder(Verdict)
_JUDGED = msgspec.json.Decoder(JudgedRow)


def _require_modes(sources: list[Source], figures: FilterFigures) -> None:
    for source in sources:
        funnel = figures.sources[source.name]
        others = funnel.rejected.get("mode_not_wanted", 0)
        if source.mode is not None and others and others == funnel.read:
            raise UserError(
                f"source {source.name!r} asks for mode {source.mode}; 0 of its {funnel.read} rows have it "
                f"({others} have the other mode); change mode or leave it out"
            )


def _require_every_row(figures: FilterFigures, rows: int) -> None:
    assert figures.read == rows, f"{figures.read} rows were judged of {rows}"
    for name, funnel in figures.sources.items():
        rejected = sum(funnel.rejected.values())
        assert funnel.read == funnel.kept + rejected, f"{name}: {funnel.read} != {funnel.kept} + {rejected}"
