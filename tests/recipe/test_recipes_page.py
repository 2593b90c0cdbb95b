"""docs/recipes.md says what the code does: its examples run, and its tables agree with the schema."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data_filters.errors import UserError
from hermes_train.recipe.explain import explain
from hermes_train.recipe.keys import sections
from hermes_train.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ hermes-train check (.+)\n((?:.+\n)+)```", PAGE)
FILES = re.findall(r"```yaml\n# (\S+)\n((?:.*\n)+?)```", PAGE)


@pytest.fixture
def copy_of_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with the recipes of the tree and those that the page writes."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    for name, text in FILES:
        Path(name).write_text(f"# {name}\n{text}", encoding="utf-8")


def check(arguments: str) -> str:
    """Return what `hermes-train check` prints, an error included."""
    path, *options = shlex.split(arguments)
    overrides = [option for option in options if option != "-o"]
    try:
        return explain(load_recipe(Path(path), overrides))
    except UserError as error:
        return f"{error}\n"


@pytest.mark.usefixtures("copy_of_recipes")
@pytest.mark.parametrize(("arguments", "shown"), CONSOLE, ids=[arguments for arguments, _ in CONSOLE])
def test_each_example_of_the_page_prints_what_the_page_shows(arguments: str, shown: str) -> None:
    printed = check(arguments).splitlines()
    for line in shown.splitlines():
        assert line in printed


def test_the_page_has_examples_of_a_file_and_of_commands() -> None:
    assert (len(FILES), len(CONSOLE)) == (1, 4)


def page_tables() -> dict[str, dict[str, str]]:
    """Return for each section the keys that the page lists, with their defaults."""
    tables: dict[str, dict[str, str]] = {}
    for heading, body in re.findall(r"^### (.+)\n((?:(?!###).*\n)*)", PAGE, re.MULTILINE):
        rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", body, re.MULTILINE))
        for name in re.findall(r"`([^`]+)`", heading) or [""]:
            tables.setdefault(name, {}).update(rows)
    return tables


def default(field: FieldInfo) -> str:
    """Return a field's default as the page writes it."""
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "section"
    if value is None:
        return "*off*"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`".replace("``", '`""`')


@pytest.mark.parametrize(("name", "section"), list(sections()), ids=lambda value: value or "top")
def test_the_page_lists_each_key_of_the_section_with_its_default(name: str, section: type[BaseModel]) -> None:
    expected = {key: default(field) for key, field in section.model_fields.items()}
    if name == "model.system":
        expected["think"] = "the Hermes 4 card's reasoning prompt"  # too long for a table
    assert page_tables()[name] == expected


def test_the_page_lists_no_section_that_the_recipe_lacks() -> None:
    assert set(page_tables()) == {name for name, _ in sections()}
