"""Formulas are read in exactly one way, or not at all."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.math.expression_reader import read_expression
from data_filters.verifiers.math.expression_tokens import UnreadableError
from data_filters.verifiers.math.expressions import Call, Name, Number, Power, Product, Quotient, Sum

X, Y = Name("x"), Name("y")


def number(value: int) -> Number:
    return Number(Fraction(value))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1,234", number(1234)),
        ("2x", Product((number(2), X))),
        ("x+y", Sum((X, Y))),
        ("-x^2", Product((number(-1), Power(X, number(2))))),
        ("x^-1", Power(X, number(-1))),
        ("2^3^2", Power(number(2), Power(number(3), number(2)))),
        ("\\frac12", Quotient(number(1), number(2))),
        ("\\frac{x}{2}y", Product((Quotient(X, number(2)), Y))),
        ("x*y/2", Quotient(Product((X, Y)), number(2))),
        ("2\\frac{1}{2}", Number(Fraction(5, 2))),
        ("0.\\overline{3}", Number(Fraction(1, 3))),
        ("1.2\\overline{34}", Number(Fraction(611, 495))),
        ("\\sqrt[3]{x}", Power(X, Quotient(number(1), number(3)))),
        ("\\sin^2 x", Power(Call("sin", (X,)), number(2))),
        ("\\sin^{-1} x", Call("arcsin", (X,))),
        ("\\log_{2}(x)", Call("log", (X, number(2)))),
        ("2|x|", Product((number(2), Call("abs", (X,))))),
        ("\\lfloor x \\rfloor", Call("floor", (X,))),
        ("x_1", Name("x_1")),
        ("5!", Call("factorial", (number(5),))),
        ("40%", Quotient(number(40), number(100))),
        ("2 pi x", Product((number(2), Name("pi"), X))),
    ],
)
def test_a_formula_is_read_as_its_tree(text: str, tree: object) -> None:
    assert read_expression(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1/2x",
            "\\sqrt12",
            "x2",
            "2 3",
            "f(x)",
            "apple",
            "(x",
            "x)",
            "204_5",
            "\\sin(x)^2",
            "1/2/3",
            "\\triangle",
        ),
        *(
            "3\\frac{5}{2}",
            "(" * 500 + "x" + ")" * 500,
            "x^" * 500 + "x",
            "7" * 2000,
            "\0",
            "\ud800",
            "x <y",
            "1,2",
        ),
    ],
)
def test_what_may_be_understood_in_two_ways_or_in_none_is_not_read(text: str) -> None:
    with pytest.raises(UnreadableError):
        read_expression(text)


@given(st.text(alphabet="0123456789xyi+-*/^_(){}[]\\.!|% \\sqrtfrac", max_size=60))
def test_any_text_is_read_or_refused_as_unreadable(text: str) -> None:
    try:
        read_expression(text)
    except UnreadableError:
        return
