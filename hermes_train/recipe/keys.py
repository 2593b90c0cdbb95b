"""Which keys the recipe has, section by section: what "did you mean" needs."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from hermes_train.recipe.schema import Recipe
from hermes_train.recipe.tree import KeyPath


def section_at(path: KeyPath) -> type[BaseModel] | None:
    """Return the schema of the section at `path`, None where the schema has no section there."""
    section: type[BaseModel] | None = Recipe
    for key in path:
        if isinstance(key, int):
            continue  # a list's items all have the schema that its field leads to
        field = section.model_fields.get(key) if section else None
        section = _section_of(field.annotation) if field else None
    return section


def unknown_key_hint(path: KeyPath) -> str:
    """Return what the unknown key at `path` may have been meant as."""
    *above, key = path
    section = section_at(tuple(above))
    here = list(section.model_fields) if section else []
    near = difflib.get_close_matches(str(key), here, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    homes = _homes().get(str(key), ())
    if homes:
        return f"{key} is a key of {_listed(homes)}"
    return f"the keys here are {', '.join(here)}"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@cache
def _homes() -> dict[str, tuple[str, ...]]:
    """Return for each key the sections that have it."""
    homes: dict[str, tuple[str, ...]] = {}
    for name, section in sections():
        for key in section.model_fields:
            homes[key] = (*homes.get(key, ()), name or "the top level")
    return homes


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each section with its dotted name: "" for the recipe, `data.sources[]` for a list's items."""
    yield from _sections("", Recipe)


def _sections(name: str, section: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, section
    for key, field in section.model_fields.items():
        below = _section_of(field.annotation)
        if below is not None:
            item = "[]" if typing.get_origin(field.annotation) is list else ""
            yield from _sections(f"{name}.{key}{item}".lstrip("."), below)


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Return the section in `Section`, `Section | None`, `list[Section]`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_section_of(argument) for argument in typing.get_args(annotation))
    return next((section for section in found if section), None)
