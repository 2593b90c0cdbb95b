from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.recipe.extends import read_with_bases
from hermes_train.recipe.tree import origin_at, plain

Write = Callable[[str, str], Path]


def test_a_child_says_only_what_differs_and_extends_is_no_value(write: Write) -> None:
    write("bases/base.yaml", "a: {b: 1, c: 2}\nd: 3\n")
    child = read_with_bases(write("child.yaml", "extends: bases/base.yaml\na:\n  b: 10\n"))
    assert plain(child.root) == {"a": {"b": 10, "c": 2}, "d": 3}
    assert str(origin_at(child.root, ("a", "b"))) == "child.yaml:3"
    assert str(origin_at(child.root, ("a", "c"))) == "bases/base.yaml:1"
    assert child.files == (Path("bases/base.yaml"), Path("child.yaml"))


def test_of_several_bases_the_later_one_wins_and_the_child_wins_over_all(write: Write) -> None:
    write("one.yaml", "a: 1\nb: 1\nc: 1\n")
    write("two.yaml", "b: 2\nc: 2\n")
    child = read_with_bases(write("child.yaml", "extends: [one.yaml, two.yaml]\nc: 3\n"))
    assert plain(child.root) == {"a": 1, "b": 2, "c": 3}


def test_a_base_may_be_reached_by_two_ways(write: Write) -> None:
    write("root.yaml", "a: 1\n")
    write("one.yaml", "extends: root.yaml\nb: 1\n")
    write("two.yaml", "extends: root.yaml\nb: 2\n")
    child = read_with_bases(write("child.yaml", "extends: [one.yaml, two.yaml]\n"))
    assert plain(child.root) == {"a": 1, "b": 2}
    assert [file.name for file in child.files] == ["root.yaml", "one.yaml", "two.yaml", "child.yaml"]


def test_paths_are_relative_to_the_file_that_extends(write: Write) -> None:
    write("shared/root.yaml", "a: 1\n")
    write("bases/base.yaml", "extends: ../shared/root.yaml\n")
    child = read_with_bases(write("runs/child.yaml", "extends: ../bases/base.yaml\n"))
    assert str(origin_at(child.root, ("a",))) == "shared/root.yaml:1"


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_with_bases(path)
    return str(caught.value)


def test_a_circle_is_refused_with_the_whole_chain(write: Write) -> None:
    write("bases/a.yaml", "extends: b.yaml\n")
    write("bases/b.yaml", "x: 1\nextends: a.yaml\n")
    child = write("child.yaml", "extends: bases/a.yaml\n")
    assert refusal(child) == (
        "bases/b.yaml:2: recipes extend each other in a circle: bases/a.yaml -> bases/b.yaml -> bases/a.yaml"
    )


def test_a_recipe_that_extends_itself_is_refused(write: Write) -> None:
    child = write("child.yaml", "extends: child.yaml\n")
    assert refusal(child) == ("child.yaml:1: recipes extend each other in a circle: child.yaml -> child.yaml")


def test_a_missing_base_is_named_with_the_line_that_asks_for_it(write: Write) -> None:
    write("bases/hermes4.yaml", "a: 1\n")
    child = write("child.yaml", "name: x\nextends:\n  - bases/hermes5.yaml\n")
    assert refusal(child) == (
        "child.yaml:3: extends bases/hermes5.yaml, which does not exist; did you mean bases/hermes4.yaml?"
    )


def test_a_missing_base_in_a_missing_folder_has_no_hint(write: Write) -> None:
    child = write("child.yaml", "extends: nowhere/x.yaml\n")
    assert refusal(child) == "child.yaml:1: extends nowhere/x.yaml, which does not exist"


def test_a_missing_recipe_is_answered_with_the_nearest_or_with_those_there_are(write: Write) -> None:
    write("recipes/demo.yaml", "a: 1\n")
    write("recipes/smoke.yaml", "a: 1\n")
    assert refusal(Path("recipes/dem.yaml")) == (
        "there is no recipe recipes/dem.yaml; did you mean recipes/demo.yaml?"
    )
    assert refusal(Path("recipes/405b.yaml")) == (
        "there is no recipe recipes/405b.yaml; recipes has demo.yaml, smoke.yaml"
    )


@pytest.mark.parametrize(("value", "shown"), [("7", "7"), ("{a: 1}", "a mapping"), ("[[x]]", "a list")])
def test_extends_takes_paths_only(write: Write, value: str, shown: str) -> None:
    child = write("child.yaml", f"extends: {value}\n")
    assert refusal(child) == f"child.yaml:1: extends takes a path or a list of paths; it has {shown}"
