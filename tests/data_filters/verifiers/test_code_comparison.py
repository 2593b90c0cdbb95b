"""A candidate's result against the expected one, by the rules that the documentation states."""

from collections import Counter, OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.sandbox.harness.plain_data import write
from data_filters.verifiers.code_comparison import output_difference, result_difference

nan = float("nan")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def same(expected: Any, result: object, tolerance: float | None = None) -> bool:
    return result_difference(expected, write(result).text, tolerance) is None


@given(json_values)
def test_every_json_value_equals_itself(value: object) -> None:
    assert same(value, value)


@given(json_values, json_values)
def test_values_that_differ_for_python_differ_here(value: object, other: object) -> None:
    if value != other and "nan" not in f"{value}{other}":
        assert not same(value, other)


@pytest.mark.parametrize(
    ("expected", "result"),
    [
        ([1, [2]], (1, (2,))),
        (1.0, 1),
        (0.0, -0.0),
        (nan, nan),
        (float("inf"), float("inf")),
        ({"1": "a", "true": 2, "null": 3, "1.5": 4}, {1: "a", None: 3, 1.5: 4, "true": 2}),
        ({"a": 1}, OrderedDict(a=1)),
        ({"a": 2}, Counter("aa")),
        (10**400, 10**400),
    ],
)
def test_what_json_cannot_tell_apart_is_equal(expected: object, result: object) -> None:
    assert same(expected, result)


@pytest.mark.parametrize(
    ("expected", "result"),
    [
        (1, True),
        (True, 1),
        (0, False),
        (1, 1.0),
        (1.0, True),
        (1.0, "1.0"),
        (0.1 + 0.2, 0.3),
        (None, 0),
        (None, False),
        ("", None),
        ("a", b"a"),
        ([1, 2], {1, 2}),
        ([1, 2], [1, 2, 3]),
        ([], {}),
        ({}, []),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"1": 1}, {1: 1, "1": 1}),
        ({"a": 1}, {("a",): 1}),
        ([0, 1], range(2)),
        (10**400, 10**400 + 1),
        (10**400, float("inf")),
        (1.0, float("nan")),
    ],
)
def test_what_is_of_another_type_or_value_differs(expected: object, result: object) -> None:
    assert not same(expected, result)


def test_a_tolerance_is_absolute_for_small_and_relative_for_large_numbers() -> None:
    assert same([0.3, {"a": 1e9}], [0.1 + 0.2, {"a": 1e9 + 1}], 1e-6)
    assert not same(0.3, 0.31, 1e-6)
    assert not same(1.0, float("inf"), 1e-6)
    assert not same(float("inf"), 1.0, 1e-6)
    assert not same(1.0, 10**400, 1e-6)
    # Integers that are expected stay exact.
    assert not same(1, 1.0, 1e-6)


def test_an_expected_value_may_be_nested_deeper_than_python_calls() -> None:
    expected: list[Any] = []
    for _ in range(50_000):
        expected = [expected]

    assert same(expected, expected)


@pytest.mark.parametrize(
    "text", ["", "[[0],[]]", "[[0],[[0]]]", '[{"a":1},[]]', "[" * 100_000, "[[0],[[1,[]]]]"]
)
def test_a_forged_result_differs_and_raises_nothing(text: str) -> None:
    assert result_difference([1], text, None) is not None


def test_a_result_that_holds_itself_is_compared_as_far_as_expected() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)

    assert not same([[[]]], cyclic)


@pytest.mark.parametrize(
    ("expected", "printed", "tolerance", "equal"),
    [
        ("1 2\n", "1 2", None, True),
        ("1 2\n3\n", "1 2  \r\n3\n\n\n", None, True),
        ("1 2", "1  2", None, False),
        ("1\n2", "1\n\n2", None, False),
        ("", "\n", None, True),
        ("", "0", None, False),
        (" 1", "1", None, False),
        ("0.3", "0.30000000000000004", None, False),
        ("0.3 x", "0.30000000000000004   x", 1e-6, True),
        ("0.3", "0.31", 1e-6, False),
        ("1", "1 2", 1e-6, False),
        ("nan", "inf", 1e-6, False),
        ("0x10", "16", 1e-6, False),
        ("YES", "Yes", 1e-6, False),
    ],
)
def test_an_output_is_compared_up_to_blanks_at_ends(
    expected: str, printed: str, tolerance: float | None, equal: bool
) -> None:
    assert (output_difference(expected, printed, tolerance) is None) == equal
