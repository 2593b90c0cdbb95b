import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.report import charts
from hermes_train.report.charts import Interval, Part

shares = st.floats(0, 1)
values = st.one_of(st.none(), st.floats(-1e6, 1e6))
curves = st.lists(values, min_size=1, max_size=80)


def drawn(svg: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(name))


def points_of(line: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (place.split(",") for place in line.attrib["points"].split())]


def classes(svg: str) -> list[str]:
    return [piece.get("class", "") for piece in ElementTree.fromstring(svg).iter()]


@given(st.lists(st.tuples(shares, shares, shares).map(sorted), min_size=1, max_size=5))
def test_each_whisker_holds_its_dot(bounds: list[list[float]]) -> None:
    rows = [(f"m{index}", Interval(value, low, high)) for index, (low, value, high) in enumerate(bounds)]

    svg = charts.whiskers(rows, "think", "accuracy")

    dots = drawn(svg, "circle")
    whiskers = [line for line in drawn(svg, "line") if "whisker" in line.attrib["class"]]
    assert len(dots) == len(whiskers) == len(rows)
    for dot, whisker in zip(dots, whiskers, strict=True):
        assert float(whisker.attrib["x1"]) <= float(dot.attrib["cx"]) <= float(whisker.attrib["x2"])


def test_a_model_without_a_score_is_written_as_not_done_and_has_no_dot() -> None:
    svg = charts.whiskers([("base", Interval(0.5, 0.4, 0.6)), ("sft", None)], "think", "accuracy")

    assert len(drawn(svg, "circle")) == 1
    assert "not done" in [label.text for label in drawn(svg, "text")]


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=12))
def test_the_pieces_of_a_bar_stay_inside_it_and_follow_each_other(sizes: list[int]) -> None:
    parts = [Part(size, f"reason-{index}", str(size)) for index, size in enumerate(sizes)]

    _, *pieces = drawn(charts.stacked_bar(parts, sum(sizes), "rows"), "rect")

    assert len(pieces) == sum(size > 0 for size in sizes)
    starts = [float(piece.attrib["x"]) for piece in pieces]
    assert starts == sorted(starts)
    assert all(float(piece.attrib["width"]) >= 0 for piece in pieces)
    assert all(float(piece.attrib["x"]) + float(piece.attrib["width"]) <= 1000.01 for piece in pieces)


def test_a_single_row_among_a_million_can_still_be_seen() -> None:
    parts = [Part(1, "reason-0", "one"), Part(999_999, "kept", "rest")]

    _, one, _ = drawn(charts.stacked_bar(parts, 1_000_000, "rows"), "rect")

    assert float(one.attrib["width"]) >= 2


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_the_columns_of_a_histogram_are_as_high_as_their_counts(counts: list[int]) -> None:
    svg = charts.histogram([8 * edge for edge in range(len(counts) + 1)], counts, "lengths", "tokens")

    heights = [float(column.attrib["height"]) for column in drawn(svg, "rect")]
    tallest = max(heights)
    assert heights == [
        pytest.approx(tallest * number / max(counts) if max(counts) else 0, abs=0.02) for number in counts
    ]


@given(curves, st.sampled_from([104.0, 190.0]))
def test_a_curve_stays_inside_its_drawing(series: list[float | None], height: float) -> None:
    points = [(float(step), value) for step, value in enumerate(series, start=1)]

    svg = charts.curve(points, charts.smoothed(points), "loss", height)

    for line in drawn(svg, "polyline"):
        assert all(0 <= x <= 360 and 0 <= y <= height for x, y in points_of(line))


def test_a_curve_is_broken_where_the_loss_was_not_a_number() -> None:
    points = [(1.0, 2.0), (2.0, 1.5), (3.0, None), (4.0, 1.2), (5.0, 1.1)]

    svg = charts.curve(points, [], "loss", 190)

    assert classes(svg).count("curve raw") == 2


def test_a_curve_of_one_step_is_a_dot_and_one_without_values_says_so() -> None:
    assert "point raw" in classes(charts.curve([(1.0, 2.0)], [], "loss", 190))
    assert "no values" in charts.curve([(1.0, None)], [], "loss", 190)


def test_thinning_a_long_curve_keeps_its_spike() -> None:
    spike = 8_000
    points = [(float(step), 50.0 if step == spike else math.sin(step)) for step in range(1, 9_001)]

    (line,) = drawn(charts.curve(points, [], "loss", 190), "polyline")

    drawn_points = points_of(line)
    assert len(drawn_points) <= charts.MOST_POINTS + 2
    assert [x for x, _ in drawn_points] == sorted(x for x, _ in drawn_points)
    others = sorted(y for _, y in drawn_points)
    assert others[0] < others[1] - 50


@given(curves)
def test_smoothing_stays_within_the_values_and_keeps_the_gaps(series: list[float | None]) -> None:
    points = [(float(step), value) for step, value in enumerate(series)]
    known = [value for value in series if value is not None]

    smooth = charts.smoothed(points)

    assert [value is None for _, value in smooth] == [value is None for value in series]
    slack = 1e-6 * max((abs(value) for value in known), default=1.0)
    assert all(min(known) - slack <= value <= max(known) + slack for _, value in smooth if value is not None)


@given(shares, st.one_of(st.none(), shares))
def test_a_level_stays_inside_its_bar(share: float, before: float | None) -> None:
    pieces = drawn(charts.level(share, before, "think", "accuracy"), "rect")

    assert len(pieces) == (2 if before is None else 3)
    assert all(float(piece.attrib["x"]) + float(piece.attrib["width"]) <= 1000.01 for piece in pieces)
