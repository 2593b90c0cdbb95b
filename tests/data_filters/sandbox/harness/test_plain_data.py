"""What passes between a candidate and its judge: the same values come out, and nothing that is not data."""

import datetime
import enum
import json
import math
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_filters.sandbox.harness.plain_data import (
    MalformedDataError,
    NotPlainDataError,
    write,
)
from data_filters.sandbox.harness.plain_reader import read


class Node:
    """A class that both sides know."""

    def __init__(self, val: object, next: object = None) -> None:
        self.val = val
        self.next = next

    def total(self) -> object:
        return self.val


class Slotted:
    __slots__ = ("left", "right")


class AlwaysEqual(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 42


CLASSES = {"Node": Node, "Slotted": Slotted}

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**1000)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.timedeltas(),
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner),
    max_leaves=5,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(hashable)
        | st.dictionaries(hashable, inner)
        | st.lists(inner).map(deque)
    ),
    max_leaves=8,
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3) | st.sampled_from(
        ["list", "tuple", "set", "dict", "same", "object", "Node", "int", "bytes", "Decimal", "Fraction", "ndarray"]
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner),
)  # fmt: skip


def passed(value: object) -> Any:
    return read(write(value, CLASSES).text, CLASSES).value


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)  # made of many kinds
@given(values)
def test_plain_data_comes_out_as_it_went_in(value: object) -> None:
    found = passed(value)

    assert found == value
    # Equality alone would take True for 1 and 1.0 for 1.
    assert repr(found) == repr(value) or "set" in repr(value)


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        -0.0,
        "\ud800",
        "\0",
        1 << 1024,
        -(10**5000),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        datetime.time(3, 4),
        range(3, 10, 2),
        slice(1, None),
        ...,
        Counter("aab"),
        OrderedDict(b=1, a=2),
        bytearray(b"\xff"),
        [Fraction(1, 3), Decimal("1E+99")],
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"{value.bit_length()} bits",
)
def test_rare_plain_data_keeps_type_and_value(value: object) -> None:
    found = passed(value)

    assert type(found) is type(value)
    assert found == value
    if isinstance(value, float):
        assert math.copysign(1, found) == math.copysign(1, value)


def test_shared_and_cyclic_references_survive() -> None:
    shared: list[Any] = [1]
    value: dict[str, Any] = {"a": shared, "b": (shared,)}
    value["self"] = value

    found = passed(value)

    assert found["self"] is found
    assert found["b"][0] is found["a"]


def test_a_chain_of_a_hundred_thousand_nodes_needs_no_recursion() -> None:
    head = None
    nested: Any = ()
    for number in range(100_000):
        head = Node(number, head)
        nested = (nested,)

    found, depth = passed([head, nested]), 0
    node, inner = found
    while node.next is not None:
        node = node.next
    while inner:
        inner, depth = inner[0], depth + 1

    assert node.val == 0
    assert depth == 100_000


def test_an_instance_passes_by_name_and_attributes_without_its_code_running() -> None:
    slotted = Slotted()
    slotted.left = [1]

    found = passed(Node(1, slotted))

    assert type(found) is Node
    assert found.next.left == [1]
    assert not hasattr(found.next, "right")


@pytest.mark.parametrize(
    ("value", "inner"),
    [
        (AlwaysEqual(7), 7),
        (enum.IntEnum("Size", "SMALL LARGE").LARGE, 2),
        (namedtuple("Point", "x y")(1, 2), (1, 2)),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
    ],
)
def test_a_subclass_of_a_builtin_travels_as_the_builtin_value_inside_it(value: object, inner: object) -> None:
    found = passed([value])[0]

    assert type(found) is type(inner)
    assert repr(found) == repr(inner)


def test_arrays_of_numbers_pass() -> None:
    found = passed(np.array([[1, 2], [3, 4]], dtype=np.int16))

    assert found.dtype == np.int16
    assert found.tolist() == [[1, 2], [3, 4]]


def test_iterators_come_out_as_iterators_over_what_they_gave() -> None:
    found = passed(
        [(n * n for n in range(3)), {"a": 1}.keys(), {"a": 1}.items(), zip("ab", "cd", strict=True)]
    )

    assert list(found[0]) == [0, 1, 4]
    assert found[1] == {"a"}
    assert found[2] == {("a", 1)}
    assert list(found[3]) == [("a", "c"), ("b", "d")]


@pytest.mark.parametrize("value", [len, lambda: 0, Node, object(), iter(int, 1), np.array([object()]), json])
def test_what_is_no_data_is_refused(value: object) -> None:
    with pytest.raises(NotPlainDataError):
        write([value], CLASSES)


def test_changes_of_arguments_are_written_into_the_objects_that_were_sent() -> None:
    numbers, node, table = [3, 1, 2], Node(1), {"a": 1}
    sent = write(((numbers, node), table), CLASSES)
    received = read(sent.text, CLASSES)
    (their_numbers, their_node), their_table = received.value
    their_numbers.sort()
    their_node.next = their_numbers
    their_table.clear()

    reply = write([their_node, received.value], CLASSES, received.objects)
    result, _ = read(reply.text, CLASSES, sent.objects).value

    assert result is node
    assert node.next is numbers
    assert numbers == [1, 2, 3]
    assert table == {}


def test_unchanged_arguments_come_back_as_themselves_without_their_contents() -> None:
    numbers = list(range(1000))
    sent = write([numbers])
    received = read(sent.text)

    reply = write(received.value[0], held=received.objects, changed=False)

    assert len(reply.text) < 40
    assert read(reply.text, held=sent.objects).value is numbers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[" * 100_000,
        "5",
        "[[0],[]]",
        "[[-1],[]]",
        "[[true],[[]]]",
        '[{"a":1},[]]',
        '[[0],[["list",[[1]]]]]',
        '[[0],[["tuple",[[0]]]]]',
        '[[0],[["tuple",[[1]]],["tuple",[[0]]]]]',
        '[[0],[["code",[]]]]',
        '[[0],[["int",["zz"]]]]',
        '[[0],[["bytes",["\\u1234"]]]]',
        '[[0],[["dict",[1]]]]',
        '[[0],[["set",[[1]]],["list",[]]]]',
        '[[0],[["same",[0]]]]',
        '[[0],[["object",["Unknown"]]]]',
        '[[0],[["object",["Node","__class__",1]]]]',
        '[[0],[["object",["Node","total",1]]]]',
        '[[0],[["object",[[0]]]]]',
        '[[0],[["ndarray",["O","",0]]]]',
        '[[0],[["Fraction",[1,0]]]]',
        "[1e9999999, []]]",
        "[" + "9" * 5000 + ",[]]",
    ],
    ids=lambda text: text[:30],
)
def test_a_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedDataError):
        read(text, CLASSES)


tags = st.text(max_size=8) | st.sampled_from(["list", "tuple", "set", "dict", "same", "object", "int"])


@given(st.lists(any_json, max_size=2), st.lists(st.tuples(tags, st.lists(any_json)), max_size=4))
def test_a_hostile_text_is_read_or_refused_but_raises_nothing_else(
    root: list[object], nodes: list[tuple[str, list[object]]]
) -> None:
    for text in (json.dumps([root, nodes]), json.dumps([[0], nodes])):
        try:
            read(text, CLASSES, held=[[1], {}, Node(1)])
        except MalformedDataError:
            continue
