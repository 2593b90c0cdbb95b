"""`extends: bases/hermes4.yaml`: a recipe says only what differs from its bases."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from data_filters.errors import UserError
from hermes_train.recipe.documents import kind, read_document
from hermes_train.recipe.tree import Entry, Origin, merge, shown


@dataclass(frozen=True)
class Inherited:
    """A recipe merged with all that it extends."""

    root: Entry
    files: tuple[Path, ...]
    """Every file that was read, bases first, each once."""


def read_with_bases(path: Path) -> Inherited:
    """Return the recipe at `path` merged over the files that it extends, theirs first, left to right.

    Raises UserError for a file that is missing, unreadable or extends itself through others.
    """
    return _read(path, None, ())


def _read(path: Path, asked_by: Origin | None, chain: tuple[Path, ...]) -> Inherited:
    path = Path(os.path.normpath(path))
    chain = (*chain, path)
    _check_chain(chain, asked_by)
    _check_exists(path, asked_by)
    document = read_document(path)
    assert isinstance(document.value, dict)  # read_document raises for anything else
    bases = [_read(base, origin, chain) for base, origin in _bases(document, path)]
    own = Entry({key: entry for key, entry in document.value.items() if key != "extends"}, document.origin)
    root = reduce(merge, [*(base.root for base in bases), own])
    files = dict.fromkeys([*(file for base in bases for file in base.files), path])
    return Inherited(root, tuple(files))


def _bases(document: Entry, path: Path) -> list[tuple[Path, Origin]]:
    """Return the files that the document extends, each with the line that says so."""
    extends = document.child("extends")
    if extends is None:
        return []
    named = extends.value if isinstance(extends.value, list) else [extends]
    bases = []
    for entry in named:
        if not isinstance(entry.value, str):
            raise UserError(f"{entry.origin}: extends takes a path or a list of paths; it has {kind(entry)}")
        bases.append((path.parent / entry.value, entry.origin))
    return bases


def _check_chain(chain: Sequence[Path], asked_by: Origin | None) -> None:
    *above, path = (file.absolute() for file in chain)
    if path in above:
        names = " -> ".join(shown(file) for file in chain[above.index(path) :])
        raise UserError(f"{asked_by}: recipes extend each other in a circle: {names}")


def _check_exists(path: Path, asked_by: Origin | None) -> None:
    if path.exists():
        return
    if asked_by is not None:
        raise UserError(f"{asked_by}: extends {shown(path)}, which does not exist{_hint(path)}")
    raise UserError(f"there is no recipe {shown(path)}{_hint(path)}")


def _hint(path: Path) -> str:
    """Return which recipe of the same folder may be meant, or which there are."""
    there = sorted(file.name for file in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1)
    if near:
        return f"; did you mean {shown(path.parent / near[0])}?"
    return f"; {shown(path.parent)} has {', '.join(there)}" if there else ""
