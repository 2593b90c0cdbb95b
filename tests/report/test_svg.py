from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.report.svg import Scale, drawing, element, text, ticks

numbers = st.floats(-1e9, 1e9)


@given(st.text(), st.text())
def test_any_text_makes_well_formed_svg_that_says_it_once(label: str, content: str) -> None:
    root = ElementTree.fromstring(drawing(100, 50, label, text(content, class_="tick")))

    assert [child.tag for child in root] == ["title", "text"]


def test_text_and_attributes_are_escaped() -> None:
    assert text('<b>&"', x=1) == '<text x="1">&lt;b&gt;&amp;"</text>'
    assert element("rect", class_='"><script>') == "<rect class='\"&gt;&lt;script&gt;'/>"


def test_a_control_character_is_replaced() -> None:
    assert text("a\x00b\x1b") == "<text>a\ufffdb\ufffd</text>"


def test_a_drawing_tells_a_screen_reader_what_it_shows() -> None:
    root = ElementTree.fromstring(drawing(100, 50, "Loss of sft"))

    assert root.get("role") == "img"
    assert root.get("aria-label") == "Loss of sft"
    assert root.findtext("title") == "Loss of sft"


@given(numbers, numbers)
def test_ticks_enclose_their_range_in_even_steps(one: float, other: float) -> None:
    low, high = sorted((one, other))
    # Closer together than floats can tell apart beside their size, steps are not even any more.
    if 0 < high - low < 1e-9 * max(abs(low), abs(high)):
        return

    marks = ticks(low, high)

    width = marks[-1] - marks[0]
    assert marks[0] <= low + 1e-9 * width
    assert high <= marks[-1] + 1e-9 * width
    assert 2 <= len(marks) <= 12
    steps = [after - before for before, after in pairwise(marks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)


def test_ticks_are_round() -> None:
    assert ticks(0.07, 0.29, about=3) == [0.0, 0.1, 0.2, 0.3]
    assert ticks(0, 2e-4, about=2) == [0, 1e-4, 2e-4]


def test_ticks_of_one_value_enclose_it() -> None:
    assert ticks(4, 4)[0] < 4 < ticks(4, 4)[-1]
    assert ticks(0, 0)[0] < 0 < ticks(0, 0)[-1]


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_ticks_refuse_a_range_that_is_none(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="finite low <= high"):
        ticks(low, high)


def test_a_scale_of_one_value_puts_it_in_the_middle() -> None:
    assert Scale(3, 3, 0, 100)(3) == 50
    assert Scale(0, 4, 100, 0)(1) == 75
