"""From a recipe file and overrides to a checked `Recipe` that knows where each of its values came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from data_filters.errors import UserError
from hermes_train.recipe.complaints import complaints
from hermes_train.recipe.extends import read_with_bases
from hermes_train.recipe.overrides import apply_override, as_options, parse_override
from hermes_train.recipe.schema import Recipe
from hermes_train.recipe.tree import Entry, Origin, Plain, dotted, leaves, origin_at, plain


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe and its provenance."""

    recipe: Recipe
    path: Path
    values: dict[str, Plain]
    """The resolved recipe as plain values, defaults filled in."""
    origins: Mapping[str, Origin]
    """For each scalar of `values` (and each empty list), by its dotted key, where it came from."""
    files: tuple[Path, ...]
    """Every file that was read, bases first, the recipe itself last."""
    overrides: tuple[str, ...]

    @property
    def override_options(self) -> list[str]:
        """The overrides as they stand on a command line: -o sft.steps=5 -o ..."""
        return as_options(self.overrides)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Return the recipe at `path` merged over what it extends, with the `a.b=c` overrides applied in order.

    Raises UserError with one line per fault, which starts with its place, `recipes/x.yaml:12` or
    `-o sft.steps=0`. Faults are: a file that is missing or no YAML, an override that leads nowhere, an
    unknown key, a value of the wrong kind or out of bounds, values that contradict each other.
    """
    inherited = read_with_bases(path)
    root = inherited.root
    for override in overrides:
        root = apply_override(root, parse_override(override))
    recipe = _validate(root)
    values = recipe.model_dump(mode="json")
    origins = {dotted(key_path): origin_at(root, key_path) for key_path, _ in leaves(values)}
    return LoadedRecipe(recipe, path, values, origins, inherited.files, tuple(overrides))


def _validate(root: Entry) -> Recipe:
    # As JSON, since only there pydantic's strict mode takes mappings for sections. Strict, so that "9000" in
    # quotes is no number, 1 is no boolean and a revision such as 1e5 is no text.
    text = json.dumps(plain(root))
    try:
        return Recipe.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise UserError("\n".join(complaints(error, root))) from None
