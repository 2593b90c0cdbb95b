"""Section 4: how the documents fill the packs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from hermes_train.report.charts import Part, histogram, stacked_bar
from hermes_train.report.notation import DASH, NOTHING, compact, count, decimal, part_of, percent
from hermes_train.report.records import LengthHistogram, PackedSource, PackFigures
from hermes_train.report.views.overview import Fact

_SHORT_BY = 0.005
"""A share that is missed by more than this is said to fall short."""


@dataclass(frozen=True)
class PackedSourceView:
    """What one source gives to the mixture in one mode."""

    name: str
    mode: str
    rows: str
    documents: str
    taken: str
    times: str
    tokens: str
    token_share: str
    label_share: str
    dropped: str
    bar: Markup


@dataclass(frozen=True)
class ShareView:
    """A share of the mixture that the recipe asks for, and what came of it."""

    name: str
    wanted: str
    got: str
    falls_short: bool


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
    share_of: str
    shares: tuple[ShareView, ...]
    """Empty where the recipe asks for no shares."""
    histogram: Markup | None
    lengths: tuple[tuple[str, str], ...]
    """The histogram as a table: bounds and number of documents."""


def packs_view(figures: PackFigures) -> PacksView:
    """Return the section for a finished pack stage."""
    lengths = figures.length_histogram
    seen = sum(source.seen_tokens for source in figures.sources)
    return PacksView(
        facts=_facts(figures),
        meters=_meters(figures),
        sources=tuple(packed_source(source, seen) for source in figures.sources),
        share_of=figures.share_of,
        shares=mixture_shares(figures),
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


def packed_source(source: PackedSource, seen: int) -> PackedSourceView:
    """Return a source's row; `seen` are the tokens of the whole mixture."""
    share = percent(part_of(source.seen_tokens, seen))
    left_out = source.dropped | {"kept for hybrid": source.later, "held out": source.held_out}
    dropped = ", ".join(f"{reason} {count(number)}" for reason, number in left_out.items() if number)
    told = f"{source.name}: {share} of the tokens"
    bar = stacked_bar([Part(source.seen_tokens, source.mode, told)], seen, told)
    return PackedSourceView(
        name=source.name,
        mode=source.mode,
        rows=count(source.rows),
        documents=count(source.documents),
        taken=count(source.taken),
        times=decimal(source.seen / source.taken, 2) if source.taken else NOTHING,
        tokens=count(source.seen_tokens),
        token_share=share,
        label_share=percent(part_of(source.seen_label_tokens, source.seen_tokens)),
        dropped=dropped or "none",
        bar=Markup(bar),
    )


def mixture_shares(figures: PackFigures) -> tuple[ShareView, ...]:
    """Return the shares that the recipe asks for, and what came of them."""
    return tuple(
        ShareView(
            name=share.name if share.of == "source" else f"{share.name} mode",
            wanted=percent(share.wanted),
            got=percent(share.got),
            falls_short=share.got < share.wanted - _SHORT_BY,
        )
        for share in figures.shares
        if share.wanted is not None
    )


def _histogram(lengths: LengthHistogram) -> Markup:
    told = f"Documents by length in tokens, from {compact(lengths.edges[0])} to {compact(lengths.edges[-1])}"
    return Markup(histogram(lengths.edges, lengths.counts, told, "tokens"))


def _lengths(lengths: LengthHistogram) -> tuple[tuple[str, str], ...]:
    bounds = [f"{compact(low)} {DASH} {compact(high)}" for low, high in pairwise(lengths.edges)]
    return tuple(zip(bounds, map(count, lengths.counts), strict=True))
