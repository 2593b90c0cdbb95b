"""Calls match by name and by value, strictly, with the accepted values of BFCL where those are given."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.call_matching import Call, ExpectedCall, difference, same_value, unmatched

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        (2, 2.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("2", 2, False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ("NYC", "nyc", False),
        ([], {}, False),
    ],
)
def test_values_are_compared_strictly(expected: Any, given: Any, same: bool) -> None:
    assert same_value(expected, given) is same


def test_loose_text_leaves_case_blanks_and_light_punctuation_aside() -> None:
    assert same_value("New York, NY", "new york ny", loose_text=True)
    assert not same_value("New York", "Newark", loose_text=True)


@given(JSON)
def test_each_value_is_the_same_as_itself(value: Any) -> None:
    assert same_value(value, value)


@given(JSON, JSON)
def test_sameness_does_not_depend_on_the_side(first: Any, second: Any) -> None:
    assert same_value(first, second) == same_value(second, first)


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"city": "NYC"}, True),
        ({"city": "New York", "seats": 2}, True),
        ({"city": "Boston"}, False),
        ({"seats": 2}, False),
        ({"city": "NYC", "seats": 3}, False),
        ({"city": "NYC", "when": 1}, False),
        ({"city": "NYC", "guest": {"age": 31}}, True),
        ({"city": "NYC", "guest": {"age": 31, "name": "Mia"}}, True),
        ({"city": "NYC", "guest": {"age": 29}}, False),
        ({"city": "NYC", "guest": {}}, False),
        ({"city": "NYC", "legs": [{"to": "B"}, {"to": "D"}]}, True),
        ({"city": "NYC", "legs": [{"to": "B"}]}, False),
    ],
)
def test_accepted_values_hold_at_each_depth_and_an_empty_text_lets_an_argument_out(
    arguments: dict[str, Any], fits: bool
) -> None:
    accepted: dict[str, list[Any]] = {
        "city": ["NYC", "New York"],
        "seats": ["", 2],
        "guest": ["", {"age": [30, 31], "name": ["", "Mia"]}],
        "legs": ["", [{"to": ["A", "B"]}, {"to": ["D"]}]],
    }

    assert (difference(ExpectedCall("book", accepted=accepted), Call("book", arguments)) == "") is fits


def test_no_choice_of_one_call_spoils_another() -> None:
    wide, narrow = ExpectedCall("f", accepted={"a": [1, 2]}), ExpectedCall("f", accepted={"a": [1]})
    one, two = Call("f", {"a": 1}), Call("f", {"a": 2})

    for expected in permutations([wide, narrow]):
        for calls in permutations([one, two]):
            assert unmatched(expected, calls) == []
    assert unmatched([wide, narrow], [two, two]) == [1]


@given(st.lists(st.integers(0, 3), max_size=6), st.randoms())
def test_calls_match_themselves_in_any_order(values: list[int], chance: Any) -> None:
    calls = [Call("f", {"a": value}) for value in values]
    turned = list(calls)
    chance.shuffle(turned)

    assert unmatched([ExpectedCall(call.name, call.arguments) for call in calls], turned) == []
