"""Values that remember where they were written: what a recipe file is before it becomes a `Recipe`.

An `Entry` is one value (scalar, mapping or list of entries) with its origin. Merging keeps origins, so that
the resolved recipe can say of each value which line or option it came from, and an error can point there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
KeyPath = tuple[str | int, ...]
"""Keys of mappings and positions in lists, from the root: ("data", "sources", 0, "rows")."""


@dataclass(frozen=True)
class FileLine:
    """A line of a recipe file."""

    file: Path
    line: int

    def __str__(self) -> str:
        """Return `recipes/x.yaml:12`, as editors and terminals read it."""
        return f"{shown(self.file)}:{self.line}"


@dataclass(frozen=True)
class CommandLine:
    """An override given with -o."""

    text: str

    def __str__(self) -> str:
        """Return the option as it was typed."""
        return f"-o {self.text}"


@dataclass(frozen=True)
class Default:
    """The schema's own value: no file and no option says it."""

    def __str__(self) -> str:
        """Return the word default."""
        return "default"


Origin = FileLine | CommandLine | Default


@dataclass(frozen=True)
class Entry:
    """One value and where it was written; `value` holds entries where it is a mapping or a list."""

    value: Scalar | dict[str, Entry] | list[Entry]
    origin: Origin

    def child(self, key: str | int) -> Entry | None:
        """Return the entry under a mapping's key or at a list's position, None where there is none."""
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            return self.value[key]
        return None


def shown(path: Path) -> str:
    """Return the path as a user knows it: relative where it lies below the current folder."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def dotted(path: KeyPath) -> str:
    """Return `data.sources.0.rows` for ("data", "sources", 0, "rows")."""
    return ".".join(str(key) for key in path)


def merge(below: Entry, above: Entry) -> Entry:
    """Return `below` with what `above` says: mappings merge key by key, all else is replaced.

    A merged mapping takes the origin of `above`, the one who spoke last.
    """
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, entry in above.value.items():
        merged[key] = merge(merged[key], entry) if key in merged else entry
    return Entry(merged, above.origin)


def plain(entry: Entry) -> Plain:
    """Return the values without origins; a mapping's null is left out, since it asks for the default."""
    value = entry.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item.value is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def find(root: Entry, path: KeyPath) -> Entry | None:
    """Return the entry at `path`, None where there is none."""
    entry: Entry | None = root
    for key in path:
        entry = entry.child(key) if entry else None
    return entry


def origin_at(root: Entry, path: KeyPath) -> Origin:
    """Return where the value at `path` was written, Default where nobody wrote it."""
    entry = find(root, path)
    return entry.origin if entry else Default()


def nearest(root: Entry, path: KeyPath) -> Entry:
    """Return the deepest entry that exists on the way to `path`."""
    entry = root
    for key in path:
        below = entry.child(key)
        if below is None:
            break
        entry = below
    return entry


def leaves(values: Plain, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Plain]]:
    """Yield each scalar and each empty mapping or list with its path, in order."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list) and values:
        for position, value in enumerate(values):
            yield from leaves(value, (*path, position))
    else:
        yield path, values
