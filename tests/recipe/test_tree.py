from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hermes_train.recipe.tree import (
    Entry,
    FileLine,
    Origin,
    Plain,
    find,
    leaves,
    merge,
    nearest,
    origin_at,
    plain,
)

KEYS = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.integers() | st.text(max_size=3) | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)
BELOW, ABOVE = FileLine(Path("below.yaml"), 1), FileLine(Path("above.yaml"), 1)

Mapping = dict[str, Plain]


def entry(value: Plain, origin: Origin) -> Entry:
    if isinstance(value, dict):
        return Entry({key: entry(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list):
        return Entry([entry(item, origin) for item in value], origin)
    return Entry(value, origin)


@given(MAPPINGS, MAPPINGS)
def test_what_the_upper_recipe_says_stands_and_the_rest_is_inherited(below: Mapping, above: Mapping) -> None:
    merged = merge(entry(below, BELOW), entry(above, ABOVE))
    for path, value in leaves(plain(entry(above, ABOVE))):
        if path and value != {}:
            assert dict(leaves(plain(merged)))[path] == value
            assert origin_at(merged, path) == ABOVE
    for key in below.keys() - above.keys():
        assert merged.child(key) == entry(below[key], BELOW)


@given(MAPPINGS, MAPPINGS)
def test_saying_the_same_twice_changes_nothing(below: Mapping, above: Mapping) -> None:
    once = merge(entry(below, BELOW), entry(above, ABOVE))
    assert plain(merge(once, entry(above, ABOVE))) == plain(once)


@given(MAPPINGS)
def test_merging_nothing_changes_nothing(values: Mapping) -> None:
    assert plain(merge(entry(values, BELOW), entry({}, ABOVE))) == values


def test_lists_are_replaced_and_not_joined() -> None:
    merged = merge(entry({"a": [1, 2, 3]}, BELOW), entry({"a": [4]}, ABOVE))
    assert plain(merged) == {"a": [4]}


def test_null_takes_an_inherited_section_away_and_a_later_recipe_can_bring_a_new_one() -> None:
    without = merge(entry({"a": {"b": 1}, "c": 2}, BELOW), entry({"a": None}, ABOVE))
    assert plain(without) == {"c": 2}
    assert plain(merge(without, entry({"a": {"d": 3}}, ABOVE))) == {"a": {"d": 3}, "c": 2}


def test_the_nearest_entry_of_a_missing_key_is_its_section() -> None:
    root = entry({"a": {"b": [1, 2]}}, BELOW)
    assert nearest(root, ("a", "x", "y")) == root.child("a")
    assert nearest(root, ("a", "b", 5)) == find(root, ("a", "b"))
    assert find(root, ("a", "b", 5)) is None
