"""Answers are taken apart at their outermost form."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_filters.verifiers.math.shapes import (
    Grouping,
    Interval,
    Matrix,
    Region,
    Relation,
    Several,
    Single,
    as_region,
    read_shape,
)

INFINITY = "\\infty"


def several(grouping: Grouping, *parts: str) -> Several:
    return Several(grouping, parts)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("x+1", Single("x+1")),
        ("(x-1)(x+1)", Single("(x-1)(x+1)")),
        ("(5)", Single("5")),
        ("1, 2", several(Grouping.LIST, "1", "2")),
        ("1 and 2 or 3", several(Grouping.LIST, "1", "2", "3")),
        ("1,000, 2,000", several(Grouping.LIST, "1,000", "2,000")),
        ("(1,2);(3,4)", several(Grouping.LIST, "(1,2)", "(3,4)")),
        ("\\{1,2\\}", several(Grouping.SET, "1", "2")),
        ("{1,2}", several(Grouping.SET, "1", "2")),
        ("(1, \\frac{2}{3})", several(Grouping.TUPLE, "1", "\\frac{2}{3}")),
        ("[1,2]", several(Grouping.SQUARE, "1", "2")),
        ("1 \\pm x", several(Grouping.LIST, "1 + x", "1 - x")),
        ("[1,2)", Region((Interval("1", True, "2", False),))),
        ("x > 3", Region((Interval("3", False, INFINITY, False),), "x")),
        ("3 < x", Region((Interval("3", False, INFINITY, False),), "x")),
        ("2 \u2265 x > 1", Region((Interval("1", False, "2", True),), "x")),
        (
            "(1,2)\\cup\\{5\\}",
            Region((Interval("1", False, "2", False), Interval("5", True, "5", True))),
        ),
        (
            "x<1 or x>3",
            Region((Interval("-\\infty", False, "1", False), Interval("3", False, INFINITY, False)), "x"),
        ),
        ("x < y", Relation(("x", "y"), ("<",))),
        ("x = 1 = y", Relation(("x", "1", "y"), ("=", "="))),
        ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", Matrix((("1", "2"), ("3", "4")))),
    ],
)
def test_the_outer_form_is_read(text: str, shape: object) -> None:
    assert read_shape(text) == shape


def test_a_pair_in_brackets_may_be_an_interval() -> None:
    assert as_region(read_shape("(1,2)")) == Region((Interval("1", False, "2", False),))
    assert as_region(read_shape("[1,2]")) == Region((Interval("1", True, "2", True),))
    assert as_region(read_shape("(1,2,3)")) is None


@given(st.text(alphabet="12xy,;()[]{}\\<>=&or ", max_size=50))
@example("or")
@example(", or ,")
def test_any_text_has_a_form(text: str) -> None:
    assert read_shape(text) is not None
