"""The resolved recipe as YAML, each value with the place it came from.

    sft:
      steps: 9000                                       # recipes/bases/hermes4.yaml:44
      learning_rate: 2e-05                              # -o
      micro_batch: 1                                    # default

The places are comments, so the text is itself a recipe that loads to the same values.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hermes_train.recipe.documents import resolves_to_text
from hermes_train.recipe.load import LoadedRecipe
from hermes_train.recipe.tree import CommandLine, Default, KeyPath, Origin, Plain, Scalar, dotted

if TYPE_CHECKING:
    from rich.text import Text

_WIDTH = 120
_ORIGIN_COLUMN = 72
"""Where the places start, unless a value is longer; 48 columns hold `# recipes/bases/hermes4.yaml:14`."""

_BARE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
"""Texts that YAML reads back unchanged without quotes, as far as characters go."""


@dataclass(frozen=True)
class _Line:
    yaml: str
    origin: Origin | None
    """None for a line that holds no value: a section's head, a text's further lines."""


def explain(loaded: LoadedRecipe) -> str:
    """Return the resolved recipe as YAML with the place of each value right of it, at most 120 columns wide.

    Only a value or a place that is itself longer than its column makes a line wider.
    """
    return "".join(f"{yaml}{place}\n" for yaml, place in _rows(loaded))


def explain_in_colour(loaded: LoadedRecipe) -> Text:
    """Return what `explain` returns, styled for a terminal: defaults dim, overrides bold.

    Print it with `soft_wrap=True`, so that a narrow terminal breaks no line.
    """
    from rich.text import Text

    text = Text()
    for yaml, place in _rows(loaded):
        style = {"# default": "dim", "# -o": "bold"}.get(place, "")
        text.append(yaml, style).append(place, style or "cyan").append("\n")
    return text


def _rows(loaded: LoadedRecipe) -> Iterator[tuple[str, str]]:
    """Yield each line of YAML, filled up to the places' column, with its place as a comment."""
    for line in _lines(loaded, loaded.values, (), ""):
        if line.origin is None:
            yield line.yaml, ""
        else:
            yield f"{line.yaml} ".ljust(_ORIGIN_COLUMN), f"# {_place(line.origin)}"


def _place(origin: Origin) -> str:
    # The value already stands on the line: the option's text would only repeat it.
    return "-o" if isinstance(origin, CommandLine) else str(origin)


def _lines(loaded: LoadedRecipe, value: Plain, path: KeyPath, indent: str) -> Iterator[_Line]:
    """Yield the lines of the keys of a mapping or of the items of a list."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        below = (*path, key)
        head = f"{indent}{key}:" if isinstance(key, str) else f"{indent}-"
        if isinstance(item, dict | list) and item:
            yield from _nested(loaded, item, below, head, indent)
        elif isinstance(item, str) and _folds(head, item):
            yield from _folded(head, item, indent, _origin(loaded, below))
        else:
            yield _Line(f"{head} {_written(item)}", _origin(loaded, below))


def _nested(
    loaded: LoadedRecipe, item: dict[str, Plain] | list[Plain], path: KeyPath, head: str, indent: str
) -> Iterator[_Line]:
    lines = list(_lines(loaded, item, path, indent + "  "))
    if head.endswith("-"):  # a list item's first key stands on the line of its dash
        first, *lines = lines
        yield _Line(f"{head} {first.yaml.lstrip()}", first.origin)
    else:
        yield _Line(head, None)
    yield from lines


def _origin(loaded: LoadedRecipe, path: KeyPath) -> Origin:
    return loaded.origins.get(dotted(path), Default())


def _folds(head: str, text: str) -> bool:
    """Return whether the text is too long for its line and breaking it at its blanks changes nothing."""
    too_long = len(head) + 1 + len(_written(text)) >= _ORIGIN_COLUMN
    return too_long and len(text.split(" ")) > 1 and " ".join(text.split()) == text


def _folded(head: str, text: str, indent: str, origin: Origin) -> Iterator[_Line]:
    yield _Line(f"{head} >-", origin)
    inner = indent + "  "
    width = _WIDTH - len(inner)
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        yield _Line(inner + line, None)


def _written(value: Plain) -> str:
    """Return a scalar, or an empty mapping or list, as YAML that reads back to the same value."""
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) is not None and resolves_to_text(value)
        return value if bare else _quoted(value)
    return _written_constant(value)


def _quoted(text: str) -> str:
    import yaml

    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).rstrip("\n")


def _written_constant(value: Scalar | list[Plain] | dict[str, Plain]) -> str:
    match value:
        case None:
            return "null"
        case True | False:
            return str(value).lower()
        case dict():
            return "{}"
        case _:
            return str(value)
