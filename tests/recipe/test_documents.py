from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.errors import UserError
from hermes_train.recipe.documents import parse_override_value, read_document, resolves_to_text
from hermes_train.recipe.tree import FileLine, KeyPath, origin_at, plain

Write = Callable[[str, str], Path]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1.0e-5", 1e-5),
        ("5E3", 5000.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'9000'", "9000"),
        ("!!int 7", 7),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(text: str, value: object) -> None:
    read = parse_override_value(text, "a=...").value
    assert read == value
    assert type(read) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans())
def test_numbers_and_booleans_as_python_prints_them_are_read_back(value: float | int | bool) -> None:
    written = str(value).lower()
    assert parse_override_value(written, "a=...").value == value


@given(st.text(max_size=20))
def test_any_option_text_is_a_value_or_one_clear_line(text: str) -> None:
    try:
        parse_override_value(text, f"a={text!r}")
    except UserError as error:
        assert str(error).startswith("-o a=")


def test_every_key_and_item_knows_its_line(write: Write) -> None:
    root = read_document(write("r.yaml", "# first\na:\n  b: 1\n\n  c:\n    - x\n    - y\n"))
    paths: list[KeyPath] = [("a",), ("a", "b"), ("a", "c"), ("a", "c", 1)]
    assert [str(origin_at(root, path)) for path in paths] == ["r.yaml:2", "r.yaml:3", "r.yaml:5", "r.yaml:7"]


def test_an_anchor_repeats_values_with_the_lines_where_they_were_written(write: Write) -> None:
    root = read_document(write("r.yaml", "a: &x\n  b: 1\nc: *x\n"))
    assert plain(root) == {"a": {"b": 1}, "c": {"b": 1}}
    assert origin_at(root, ("c", "b")) == FileLine(Path("r.yaml"), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml: the file is empty; a recipe is a mapping of keys to values"),
        ("- a\n", "r.yaml:1: a recipe is a mapping of keys to values; this is a list"),
        ("word\n", "r.yaml:1: a recipe is a mapping of keys to values; this is 'word'"),
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3: the key a is given twice; r.yaml:1 has it first"),
        ("a:\n  b: {c: 1, c: 2}\n", "r.yaml:2: the key c is given twice; r.yaml:2 has it first"),
        ("a: !!python/name:os.system\n", "r.yaml:1: the tag !!python/name:os.system is not allowed; a recipe holds plain values only"),  # noqa: E501 - a whole message
        ("x: 1\na: !secret b\n", "r.yaml:2: the tag !secret is not allowed; a recipe holds plain values only"),
        ("a: &x\n  b: *x\n", "r.yaml:2: the alias stands inside what it repeats; write the values out"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "r.yaml:3: the merge key << is not read; use extends for a base recipe"),
        ("[a, b]: 1\n", "r.yaml:1: a key must be a word; this one is a list"),
        ("a: 12e4567\n", "r.yaml:1: 12e4567 is too large for a number; put text in quotes"),
        ("a: !!bool yes\n", "r.yaml:1: 'yes' cannot be read as a boolean; write true or false"),
        ('a: "\\ud800"\n', "r.yaml:1: the text holds half a character, \\ud800 to \\udfff; write \\U and 8 digits"),
        ("a: 1\nb: [1, 2\n", "r.yaml:3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),  # noqa: E501 - a whole message
        ("a: 1\nb: \x07\n", "r.yaml:2: not valid YAML: the character #x0007 is not allowed"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2: not valid YAML: expected a single document in the stream, but found another document"),  # noqa: E501 - a whole message
        ("a: " + "[" * 5000 + "\n", "r.yaml:1: nested too deeply to be a recipe"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recipe_is_refused_in_one_line(write: Write, text: str, message: str) -> None:
    path = write("r.yaml", text)
    with pytest.raises(UserError) as caught:
        read_document(path)
    assert str(caught.value) == message


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte(write: Write) -> None:
    path = write("r.yaml", "")
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(UserError) as caught:
        read_document(path)
    assert str(caught.value) == "r.yaml: byte 3 is no UTF-8; save the file as UTF-8"


def test_a_folder_is_refused_as_a_recipe(write: Write) -> None:
    write("recipes/a.yaml", "a: 1\n")
    with pytest.raises(UserError) as caught:
        read_document(Path("recipes"))
    assert str(caught.value) == "recipes is a folder; give one recipe file in it"


@pytest.mark.parametrize(
    ("text", "outcome"), [("main", True), ("1e5", False), ("true", False), ("007", False), ("null", False)]
)
def test_texts_that_look_like_other_scalars_need_quotes(text: str, outcome: bool) -> None:
    assert resolves_to_text(text) is outcome
