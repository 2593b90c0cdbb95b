"""Shards of judged rows -> the output files, in the order of sources and rows for any number of workers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import msgspec

from data_filters import duplicates
from data_filters.errors import UserError
from data_filters.figures import FilterFigures
from data_filters.files import write_atomically
from data_filters.formats import Row
from data_filters.judged import JudgedRow, rejected_record
from data_filters.samples import Check, Outcome
from data_filters.settings import DataSettings, Source

KEPT_FILE = "kept.jsonl"
REJECTED_FILE = "rejected.jsonl"
VERDICTS_FILE = "verdicts.jsonl"
FIGURES_FILE = "figures.json"
OUTPUT_FILES = (KEPT_FILE, REJECTED_FILE, VERDICTS_FILE, FIGURES_FILE)


def merge_shards(shards: list[Path], settings: DataSettings, out: Path) -> FilterFigures:
    """Take out duplicates and write kept.jsonl, rejected.jsonl, verdicts.jsonl and figures.json, each whole.

    `settings` are those of the recipe. Returns the figures. Raises UserError, with nothing written, when a
    source has no row of the mode it asks for.
    """
    figures = FilterFigures()
    with ExitStack() as files:
        kept = files.enter_context(write_atomically(out / KEPT_FILE, "wb"))
        rejected = files.enter_context(write_atomically(out / REJECTED_FILE, "wb"))
        verdicts = files.enter_context(write_atomically(out / VERDICTS_FILE, "wb"))
        _write_rows(rows_in_order(shards), settings, figures, kept, rejected, verdicts)
        _require_modes(settings.sources, figures)
        _require_every_row(figures)
    with write_atomically(out / FIGURES_FILE, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(figures.to_dict()), indent=2) + b"\n")
    return figures


def rows_in_order(shards: list[Path]) -> Iterator[JudgedRow]:
    """Yield the rows of all shards by (position, number), one row of each shard in memory."""
    return heapq.merge(*(_shard_rows(shard) for shard in shards), key=lambda row: (row.position, row.number))


def _shard_rows(shard: Path) -> Iterator[JudgedRow]:
    decoder = msgspec.json.Decoder(JudgedRow)
    with shard.open("rb") as lines:
        for line in lines:
            yield decoder.decode(line)


def _write_rows(
    rows: Iterator[JudgedRow],
    settings: DataSettings,
    figures: FilterFigures,
    kept: IO[Any],
    rejected: IO[Any],
    verdicts: IO[Any],
) -> None:
    encoder = msgspec.json.Encoder()
    seen = duplicates.SeenConversations()
    synthetic = {source.name for source in settings.sources if source.synthetic is not None}
    for row in rows:
        if row.kept and settings.duplicates.exact:
            _reject_duplicate(row, seen)
        if row.kept:
            kept.write(encoder.encode(row.sample) + b"\n")
        else:
            rejected.write(encoder.encode(rejected_record(row)) + b"\n")
        verdicts.write(encoder.encode(row.verdict) + b"\n")
        figures.add(row.source, row.kept, row.verdict, row.sample, row.source in synthetic, _shown(row))
        for name, seconds in row.seconds.items():
            figures.seconds[name] = figures.seconds.get(name, 0.0) + seconds


def _reject_duplicate(row: JudgedRow, seen: duplicates.SeenConversations) -> None:
    assert row.sample is not None, "only samples are kept"
    earlier = seen.first_id(row.sample)
    if earlier is not None:
        row.reject(Check("duplicates", Outcome.REFUTED, duplicates.REASON, f"same conversation as {earlier}"))


def _shown(row: JudgedRow) -> str:
    shown: str | Row = row.line if row.row is None else row.row
    return shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()


def _require_modes(sources: list[Source], figures: FilterFigures) -> None:
    for source in sources:
        funnel = figures.sources[source.name]
        others = funnel.rejected.get("mode_not_wanted", 0)
        if source.mode is not None and others and others == funnel.read:
            raise UserError(
                f"source {source.name!r} asks for mode {source.mode}; 0 of its {funnel.read} rows have it "
                f"({others} have the other mode); change mode or leave it out"
            )


def _require_every_row(figures: FilterFigures) -> None:
    for name, funnel in figures.sources.items():
        rejected = sum(funnel.rejected.values())
        assert funnel.read == funnel.kept + rejected, f"{name}: {funnel.read} != {funnel.kept} + {rejected}"
