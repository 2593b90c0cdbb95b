"""The charts of the report: pure functions from numbers to SVG. Colours are the page's, by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from hermes_train.report.notation import DASH, compact, count, percent, percent_range, significant
from hermes_train.report.svg import Scale, drawing, element, polyline, text, ticks, title

MOST_POINTS = 480
"""More points than this cannot be told apart in a curve and only make the page heavy."""


@dataclass(frozen=True)
class Interval:
    """A share with its bounds, all between 0 and 1."""

    value: float
    low: float
    high: float


def whiskers(rows: Sequence[tuple[str, Interval | None]], tone: str, label: str) -> str:
    """Return a dot and its interval per row, over 0 to 100 %; None is written "not done"."""
    width, row_height, top, left, right = 520.0, 42.0, 8.0, 76.0, 440.0
    bottom = top + row_height * len(rows)
    across = Scale(0, 1, left, right)
    parts = [_share_grid(across, top, bottom)]
    places = [
        (across(interval.value), top + row_height * (index + 0.5))
        for index, (_, interval) in enumerate(rows)
        if interval
    ]
    parts.append(polyline(places, class_=f"path {tone}"))
    for index, (name, interval) in enumerate(rows):
        parts.append(_whisker(name, interval, across, top + row_height * (index + 0.5), tone, width))
    return drawing(width, bottom + 26, label, *parts)


def _share_grid(across: Scale, top: float, bottom: float) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = across(share)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        parts.append(text(percent(share, 0), x=x, y=bottom + 18, text_anchor="middle", class_="tick"))
    return "".join(parts)


def _whisker(name: str, interval: Interval | None, across: Scale, y: float, tone: str, width: float) -> str:
    label = text(name, x=0, y=y + 4.5, class_="name")
    if interval is None:
        return label + text("not done", x=across.start + 10, y=y + 4.5, class_="tick")
    told = f"{name}: {percent(interval.value)} ({percent_range(interval.low, interval.high)})"
    low, high = across(interval.low), across(interval.high)
    return label + element(
        "g",
        title(told),
        element("line", x1=low, x2=high, y1=y, y2=y, class_=f"whisker {tone}"),
        element("line", x1=low, x2=low, y1=y - 6, y2=y + 6, class_=f"cap {tone}"),
        element("line", x1=high, x2=high, y1=y - 6, y2=y + 6, class_=f"cap {tone}"),
        element("circle", cx=across(interval.value), cy=y, r=6.5, class_=f"dot {tone}"),
        text(percent(interval.value), x=width, y=y + 5, text_anchor="end", class_="value"),
    )


@dataclass(frozen=True)
class Part:
    """One piece of a bar: its size, the class that colours it, and what it is."""

    size: float
    tone: str
    label: str


def stacked_bar(parts: Sequence[Part], whole: float, label: str) -> str:
    """Return one bar in pieces, left to right; `whole` is the value of the bar's full width."""
    width, height = 1000.0, 20.0
    across = Scale(0, whole or 1, 0, width)
    drawn, start = [element("rect", x=0, y=0, width=width, height=height, class_="track")], 0.0
    for part in parts:
        if part.size <= 0:
            continue
        x, end = across(start), across(start + part.size)
        # A hair of space tells neighbours apart, and even a single row stays visible.
        visible = max(end - x - 1.5, min(2.0, width - x))
        drawn.append(
            element("rect", title(part.label), x=x, y=0, width=visible, height=height, class_=part.tone)
        )
        start += part.size
    return drawing(width, height, label, *drawn, stretched=True)


def level(share: float, before: float | None, tone: str, label: str) -> str:
    """Return a thin bar filled to `share` of its width, with a notch at the share `before`."""
    width, height = 1000.0, 6.0
    drawn = [
        element("rect", x=0, y=0, width=width, height=height, class_="track"),
        element("rect", x=0, y=0, width=width * share, height=height, class_=tone),
    ]
    if before is not None:
        notch = min(width * before, width - 12)
        drawn.append(element("rect", x=notch, y=0, width=12, height=height, class_="notch"))
    return drawing(width, height, label, *drawn, stretched=True)


def histogram(edges: Sequence[float], counts: Sequence[int], label: str, unit: str) -> str:
    """Return bars of `counts` between `edges`, which are one more than the counts."""
    width, height, top, left = 520.0, 210.0, 20.0, 8.0
    base = height - 40
    across = Scale(edges[0], edges[-1], left, width - left)
    most = max(counts, default=0)
    up = Scale(0, most or 1, base, top)
    bars = []
    for (low, high), number in zip(pairwise(edges), counts, strict=True):
        told = f"{compact(low)} {DASH} {compact(high)} {unit}: {count(number)}"
        x, end = across(low), across(high)
        bars.append(
            element(
                "rect",
                title(told),
                x=x + 0.75,
                y=up(number),
                width=max(end - x - 1.5, 0.5),
                height=base - up(number),
                class_="column",
            )
        )
    bars.append(element("line", x1=left, x2=width - left, y1=base, y2=base, class_="axis"))
    if most:
        peak = counts.index(most)
        middle = min(max(across((edges[peak] + edges[peak + 1]) / 2), 24), width - 24)
        bars.append(text(count(most), x=middle, y=top - 6, text_anchor="middle", class_="tick"))
    return drawing(width, height, label, *bars, _edge_labels(edges, across, base, unit))


def _edge_labels(edges: Sequence[float], across: Scale, base: float, unit: str) -> str:
    chosen = list(edges[:: max(1, (len(edges) - 1) // 5)])
    if len(edges) > 1 and chosen[-1] != edges[-1]:
        chosen[-1] = edges[-1]
    labels = []
    for edge in chosen:
        anchor = "start" if edge == edges[0] else "end" if edge == edges[-1] else "middle"
        labels.append(text(compact(edge), x=across(edge), y=base + 17, text_anchor=anchor, class_="tick"))
    middle = (across.start + across.end) / 2
    labels.append(text(unit, x=middle, y=base + 35, text_anchor="middle", class_="tick"))
    return "".join(labels)


Points = Sequence[tuple[float, float | None]]
"""Places of a curve; None leaves a gap where the value was not a number."""


def curve(
    raw: Points,
    smooth: Points,
    label: str,
    height: float,
    write: Callable[[float], str] = significant,
    beside: Points = (),
) -> str:
    """Return the raw values, faint, under the smooth ones, over steps. Without any value it says so.

    `beside` are values of another kind at some of the steps: dots, joined.
    """
    width, left, top = 360.0, 48.0, 10.0
    base = height - 24
    values = [value for _, value in raw if value is not None]
    if not values:
        return drawing(width, height, label, text("no values", x=left, y=height / 2, class_="tick"))
    values += [value for _, value in beside if value is not None]
    marks = ticks(min(values), max(values), about=3 if height > 120 else 2)
    across = Scale(raw[0][0], raw[-1][0], left, width - 8)
    up = Scale(marks[0], marks[-1], base, top)
    return drawing(
        width,
        height,
        label,
        *(_level(mark, up(mark), left, width, write) for mark in marks),
        *_step_labels(raw[0][0], raw[-1][0], across, height),
        *_lines(_thinned(raw), across, up, "raw"),
        *_lines(_thinned(smooth), across, up, "smooth"),
        *_joined_dots(_thinned(beside), across, up, write),
    )


def _level(mark: float, y: float, left: float, width: float, write: Callable[[float], str]) -> str:
    return element("line", x1=left, x2=width - 8, y1=y, y2=y, class_="grid") + text(
        write(mark), x=left - 8, y=y + 4, text_anchor="end", class_="tick"
    )


def _step_labels(first: float, last: float, across: Scale, height: float) -> list[str]:
    labels = [text(count(round(last)), x=across(last), y=height - 6, text_anchor="end", class_="tick")]
    if first != last:
        labels.append(text(count(round(first)), x=across(first), y=height - 6, class_="tick"))
    return labels


def _lines(points: Points, across: Scale, up: Scale, tone: str) -> list[str]:
    """Return one line per unbroken stretch; a stretch of a single point is a dot."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((across(x), up(value)))
    drawn = []
    for stretch in stretches:
        if len(stretch) == 1:
            drawn.append(element("circle", cx=stretch[0][0], cy=stretch[0][1], r=2.5, class_=f"point {tone}"))
        elif stretch:
            drawn.append(polyline(stretch, class_=f"curve {tone}"))
    return drawn


def _joined_dots(points: Points, across: Scale, up: Scale, write: Callable[[float], str]) -> list[str]:
    places = [
        (across(x), up(value), f"step {count(round(x))}: {write(value)}")
        for x, value in points
        if value is not None
    ]
    dots = [element("circle", title(told), cx=x, cy=y, r=2.5, class_="point beside") for x, y, told in places]
    if len(dots) > 1:
        return [polyline([(x, y) for x, y, _ in places], class_="curve beside"), *dots]
    return dots


def _thinned(points: Points) -> Points:
    """Keep the lowest and the highest point of each stretch, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return points
    stride = -(-len(points) // (MOST_POINTS // 2))
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), stride):
        some = [point for point in points[start : start + stride] if point[1] is not None]
        if not some:
            kept.append((points[start][0], None))
            continue
        ends = {min(some, key=_height), max(some, key=_height)}
        kept.extend(sorted(ends))
    return kept


def _height(point: tuple[float, float | None]) -> float:
    assert point[1] is not None
    return point[1]


def smoothed(points: Points) -> Points:
    """Return the mean of the points around each, up to a twelfth of them all; gaps stay gaps.

    Towards the ends the window narrows, so that the curve starts and ends near where the values do.
    """
    widest = len(points) // 24
    sums = list(accumulate((value or 0.0 for _, value in points), initial=0.0))
    numbers = list(accumulate((value is not None for _, value in points), initial=0))
    smooth: list[tuple[float, float | None]] = []
    for index, (x, value) in enumerate(points):
        half = max(min(widest, index, len(points) - 1 - index), widest // 3)
        start, end = max(0, index - half), min(len(points), index + half + 1)
        mean = None if value is None else (sums[end] - sums[start]) / (numbers[end] - numbers[start])
        smooth.append((x, mean))
    return smooth
