from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.errors import UserError
from hermes_train.recipe.overrides import apply_override, parse_override
from hermes_train.recipe.tree import Entry, FileLine, Plain, find, origin_at, plain

HERE = FileLine(Path("r.yaml"), 1)
WORDS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=5)
JSON_VALUES = st.recursive(
    st.integers() | st.booleans() | PRINTABLE | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
TREE = Entry(
    {
        "name": Entry("tiny", HERE),
        "sft": Entry({"steps": Entry(20, HERE), "seed": Entry(1, HERE)}, HERE),
        "sources": Entry(
            [
                Entry({"name": Entry("sums", HERE), "rows": Entry(10, HERE)}, HERE),
                Entry({"name": Entry("gsm8k", HERE), "rows": Entry(10, HERE)}, HERE),
            ],
            HERE,
        ),
        "empty": Entry([], HERE),
        "numbers": Entry([Entry(1, HERE), Entry(2, HERE)], HERE),
    },
    HERE,
)


def override(*texts: str) -> Entry:
    root = TREE
    for text in texts:
        root = apply_override(root, parse_override(text))
    return root


def value(root: Entry, *path: str | int) -> Plain:
    found = find(root, path)
    assert found is not None
    return plain(found)


@given(st.lists(WORDS, min_size=1, max_size=4), JSON_VALUES)
def test_what_an_override_sets_is_what_stands_there_afterwards(keys: list[str], given_value: Plain) -> None:
    text = ".".join(["new", *keys]) + "=" + json.dumps(given_value, ensure_ascii=False)
    assert value(override(text), "new", *keys) == given_value


@given(WORDS, st.integers(), st.integers())
def test_of_two_overrides_of_one_key_the_last_wins(key: str, first: int, second: int) -> None:
    assert value(override(f"new.{key}={first}", f"new.{key}={second}"), "new", key) == second


def test_an_override_leaves_the_other_keys_and_their_places_alone() -> None:
    root = override("sft.steps=100")
    assert value(root, "sft") == {"steps": 100, "seed": 1}
    assert str(origin_at(root, ("sft", "steps"))) == "-o sft.steps=100"
    assert origin_at(root, ("sft", "seed")) == HERE


def test_a_list_item_is_reached_by_position_and_by_name() -> None:
    assert value(override("sources.1.rows=3"), "sources", 1, "rows") == 3
    assert value(override("sources.gsm8k.rows=4"), "sources", 1, "rows") == 4
    assert value(override("sources.gsm8k.rows=4"), "sources", 0, "rows") == 10


def test_a_list_is_set_whole_and_a_mapping_is_merged() -> None:
    assert value(override("numbers=[7]"), "numbers") == [7]
    assert value(override("sft={steps: 5}"), "sft") == {"steps": 5, "seed": 1}


def test_an_empty_value_and_null_ask_for_the_default() -> None:
    assert value(override("sft.steps="), "sft") == {"seed": 1}
    assert value(override("sft=null"), "sft") is None


def test_only_the_first_equals_sign_parts_key_and_value() -> None:
    assert value(override("name=a=b"), "name") == "a=b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sft.steps", "-o sft.steps: an override has the form KEY.KEY=VALUE, such as -o sft.steps=100"),
        ("=3", "-o =3: an override has the form KEY.KEY=VALUE, such as -o sft.steps=100"),
        ("sft..steps=3", "-o sft..steps=3: an override has the form KEY.KEY=VALUE, such as -o sft.steps=100"),
        ("extends=x.yaml", "-o extends=x.yaml: extends cannot be overridden; write a recipe that extends another base"),
        ("sft.steps=[1", "-o sft.steps=[1: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),  # noqa: E501 - a whole message
        ("name.first=x", "-o name.first=x: name is 'tiny', not a section; it has no key first"),
        ("sources.2.rows=1", "-o sources.2.rows=1: sources has no item 2; name one of sums, gsm8k, or give a position from 0 to 1"),  # noqa: E501 - a whole message
        ("sources.-1.rows=1", "-o sources.-1.rows=1: sources has no item -1; name one of sums, gsm8k, or give a position from 0 to 1"),  # noqa: E501 - a whole message
        ("numbers.two=1", "-o numbers.two=1: numbers has no item two; give a position from 0 to 1"),
        ("empty.0=1", "-o empty.0=1: empty is an empty list; set the whole list"),
    ],
)  # fmt: skip
def test_an_override_that_leads_nowhere_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        override(text)
    assert str(caught.value) == message
