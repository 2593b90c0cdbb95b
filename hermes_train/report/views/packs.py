"""Section 4: how the documents fill the packs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from hermes_train.report.charts import Part, histogram, stacked_bar
from hermes_train.report.notation import DASH, compact, count, part_of, percent
from hermes_train.report.records import LengthHistogram, PackedSource, PackFigures
from hermes_train.report.views.overview import Fact


@dataclass(frozen=True)
class PackedSourceView:
    """What one source gives to the mixture in one mode."""

    name: str
    mode: str
    documents: str
    tokens: str
    token_share: str
    label_share: str
    dropped: str
    bar: Markup


@dataclass(frozen=True)
class Meter:
    """A bar of tokens in two parts, each with its colour, name, share and number."""

    name: str
    bar: Markup
    shares: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class PacksView:
    """The section on packs."""

    facts: tuple[Fact, ...]
    meters: tuple[Meter, ...]
    sources: tuple[PackedSourceView, ...]
    histogram: Markup | None
    lengths: tuple[tuple[str, str], ...]
    """The histogram as a table: bounds and number of documents."""


def packs_view(figures: PackFigures) -> PacksView:
    """Return the section for a finished pack stage."""
    lengths = figures.length_histogram
    # The mixture thins and repeats what the sources give, so these do not add up to the tokens of the packs.
    made = sum(source.tokens for source in figures.sources)
    return PacksView(
        facts=_facts(figures),
        meters=_meters(figures),
        sources=tuple(_source(source, made) for source in figures.sources),
        histogram=_histogram(lengths) if lengths else None,
        lengths=_lengths(lengths) if lengths else (),
    )


def _facts(figures: PackFigures) -> tuple[Fact, ...]:
    return (
        Fact("Fill", percent(figures.fill, 2)),
        Fact("Packs", count(figures.packs)),
        Fact("Tokens a pack", count(figures.length)),
        Fact("Documents", count(figures.documents)),
        Fact("Tokens", count(figures.tokens)),
        Fact("Labelled", percent(part_of(figures.label_tokens, figures.tokens))),
    )


def _meters(figures: PackFigures) -> tuple[Meter, ...]:
    room = figures.packs * figures.length
    without_label = figures.tokens - figures.label_tokens
    meters = [
        _meter("Room of the packs", [("filled", figures.tokens), ("empty", room - figures.tokens)], 2),
        _meter("Tokens trained on", [("labelled", figures.label_tokens), ("read only", without_label)], 1),
    ]
    if figures.think_tokens is not None and figures.direct_tokens is not None:
        by_mode = [("think", figures.think_tokens), ("direct", figures.direct_tokens)]
        meters.insert(0, _meter("Tokens by mode", by_mode, 1))
    return tuple(meters)


def _meter(name: str, tokens: list[tuple[str, int]], places: int) -> Meter:
    whole = sum(number for _, number in tokens)
    parts = [
        Part(number, part.replace(" ", "-"), f"{part}: {count(number)} tokens") for part, number in tokens
    ]
    told = f"{name}: " + ", ".join(part.label for part in parts)
    return Meter(
        name=name,
        bar=Markup(stacked_bar(parts, whole, told)),
        shares=tuple(
            (drawn.tone, part, percent(part_of(number, whole), places), count(number))
            for drawn, (part, number) in zip(parts, tokens, strict=True)
        ),
    )


def _source(source: PackedSource, made: int) -> PackedSourceView:
    share = percent(part_of(source.tokens, made))
    mode = source.mode or "mixed"
    dropped = ", ".join(f"{reason} {count(number)}" for reason, number in source.dropped.items() if number)
    told = f"{source.name}: {share} of the tokens"
    bar = stacked_bar([Part(source.tokens, mode, told)], made, told)
    return PackedSourceView(
        name=source.name,
        mode=mode,
        documents=count(source.documents),
        tokens=count(source.tokens),
        token_share=share,
        label_share=percent(part_of(source.label_tokens, source.tokens)),
        dropped=dropped or "none",
        bar=Markup(bar),
    )


def _histogram(lengths: LengthHistogram) -> Markup:
    told = f"Documents by length in tokens, from {compact(lengths.edges[0])} to {compact(lengths.edges[-1])}"
    return Markup(histogram(lengths.edges, lengths.counts, told, "tokens"))


def _lengths(lengths: LengthHistogram) -> tuple[tuple[str, str], ...]:
    bounds = [f"{compact(low)} {DASH} {compact(high)}" for low, high in pairwise(lengths.edges)]
    return tuple(zip(bounds, map(count, lengths.counts), strict=True))
