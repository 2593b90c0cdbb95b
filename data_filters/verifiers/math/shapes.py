"""The outer form of a normalised answer: one value, several, an interval, a matrix, a relation, words.

Only the outer form is read here; the parts stay texts, to be read again in the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Grouping(StrEnum):
    """What holds several values together."""

    LIST = "list"
    """Nothing but commas, semicolons, "and" or "or": the order does not matter."""
    SET = "set"
    """Braces: the order does not matter."""
    TUPLE = "tuple"
    """Round or pointed brackets: the order matters; of two values it may be an open interval."""
    SQUARE = "square"
    """Square brackets: the order matters; of two values it may be a closed interval."""


@dataclass(frozen=True, slots=True)
class Single:
    """One value, or what was not taken apart."""

    text: str


@dataclass(frozen=True, slots=True)
class Several:
    """Values that stand together."""

    grouping: Grouping
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers between two ends; each end is a text and says whether it belongs to the interval."""

    low: str
    low_closed: bool
    high: str
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals and single points, as intervals or as inequalities of one variable."""

    pieces: tuple[Interval, ...]
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of texts."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with the signs between them, as in `a = b = c` or `x^2 < y`."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


Shape = Single | Several | Region | Matrix | Relation

_INFINITY = "\\infty"
_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}$", re.DOTALL)
_SEPARATOR = re.compile(
    r"\\begin\{|\\end\{|\\\\|\\[A-Za-z]+|\\[{}]|[()\[\]{},;<>=\u2264\u2265\u2260]|\b(?:and|or)\b| U "
)
_DEEPER = frozenset(("(", "[", "{", "\\{", "\\begin{", "\\langle"))
_HIGHER = frozenset((")", "]", "}", "\\}", "\\end{", "\\rangle"))
_RELATIONS = frozenset(["<", ">", "=", "≤", "≥", "≠", "\\in", "\\approx"])
_UNIONS = frozenset(("\\cup", " U "))
_COMMAS = frozenset((",", ";", "and", "or"))
_OPENINGS = {
    "(": (Grouping.TUPLE, ")"),
    "[": (Grouping.SQUARE, "]"),
    "\\{": (Grouping.SET, "\\}"),
    "{": (Grouping.SET, "}"),
}
_THOUSANDS = re.compile(r"(?<!\d)\d{1,3},\d{3}(?!\d)")
_VARIABLE = re.compile(r"[A-Za-z](?:_\w)?$|\\[A-Za-z]+$")
_REAL_LINES = frozenset(("\\mathbb{R}", "\\R", "\\Bbb{R}", "all real numbers"))
_FLIPPED = {"<": ">", ">": "<", "\u2264": "\u2265", "\u2265": "\u2264"}
_LESS = ("<", "\u2264")


def read_shape(text: str) -> Shape:
    """The outer form of a normalised text; what has no other form is a Single."""
    text = text.strip()
    if text in _REAL_LINES:
        return Region((Interval("-" + _INFINITY, False, _INFINITY, False),))
    matrix = _MATRIX.match(text)
    if matrix is not None and "\\begin" not in matrix[2]:
        rows = [row for row in matrix[2].split("\\\\") if row.strip()]
        return Matrix(tuple(tuple(entry.strip() for entry in row.split("&")) for row in rows))
    found = _top_level_signs(text)
    signs = {sign for sign, _, _ in found}
    if signs & _COMMAS:
        return _list_of(text, found)
    if signs & _UNIONS:
        return _union(text, found)
    if signs & _RELATIONS:
        return _relation(text, found)
    bracketed = _bracketed(text)
    if bracketed != Single(text):
        return bracketed
    if "\\pm" in text or "\\mp" in text:
        upper = text.replace("\\pm", "+").replace("\\mp", "-")
        lower = text.replace("\\pm", "-").replace("\\mp", "+")
        return Several(Grouping.LIST, (upper, lower))
    return bracketed


def list_reading(text: str) -> Several | None:
    """The reading of `15,600` as two numbers instead of one; None where no comma stands between digits."""
    parts = tuple(part.strip() for part in text.split(","))
    return Several(Grouping.LIST, parts) if len(parts) > 1 and all(parts) else None


def as_region(shape: Shape) -> Region | None:
    """A pair in brackets as an interval; a Region as it is; None for everything else."""
    if isinstance(shape, Region):
        return shape
    if isinstance(shape, Several) and len(shape.parts) == 2:
        if shape.grouping == Grouping.TUPLE:
            return Region((Interval(shape.parts[0], False, shape.parts[1], False),))
        if shape.grouping == Grouping.SQUARE:
            return Region((Interval(shape.parts[0], True, shape.parts[1], True),))
    return None


def _top_level_signs(text: str) -> list[tuple[str, int, int]]:
    """The separators outside all brackets, with where each starts and ends."""
    found = []
    depth = 0
    for match in _SEPARATOR.finditer(text):
        sign = match[0]
        if sign in _DEEPER:
            depth += 1
        elif sign in _HIGHER:
            depth = max(depth - 1, 0)
        elif depth == 0:
            found.append((sign, match.start(), match.end()))
    return found


def _split(text: str, found: list[tuple[str, int, int]], signs: frozenset[str]) -> list[str]:
    parts, position = [], 0
    for sign, start, end in found:
        if sign in signs:
            parts.append(text[position:start].strip())
            position = end
    parts.append(text[position:].strip())
    return parts


def _list_of(text: str, found: list[tuple[str, int, int]]) -> Shape:
    """Parts between commas; several inequalities of one variable are a union."""
    parts = tuple(part for part in _split(text, _without_thousands(text, found), _COMMAS) if part)
    if not parts:
        return Single(text)
    if len(parts) == 1:
        return read_shape(parts[0]) if parts[0] != text else Single(text)
    pieces: list[Interval] = []
    variables = set()
    for part in parts:
        shape = read_shape(part) if any(sign in part for sign in "<>\u2264\u2265") else None
        if not isinstance(shape, Region) or shape.variable is None:
            return Several(Grouping.LIST, parts)
        pieces.extend(shape.pieces)
        variables.add(shape.variable)
    if len(variables) > 1 or not any(sign == "or" for sign, _, _ in found):
        return Several(Grouping.LIST, parts)
    return Region(tuple(pieces), variables.pop())


def _without_thousands(text: str, found: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The separators, without commas inside numbers where other commas have a blank behind them."""
    if ", " not in text or not _THOUSANDS.search(text):
        return found
    return [
        (sign, start, end)
        for sign, start, end in found
        if sign != ","
        or text[end : end + 1] == " "
        or not _THOUSANDS.search(text, max(start - 3, 0), end + 3)
    ]


def _union(text: str, found: list[tuple[str, int, int]]) -> Shape:
    pieces: list[Interval] = []
    for part in _split(text, found, _UNIONS):
        # `x \\in (1,2) \\cup (3,4)` names its variable in front of the first piece.
        _, named, behind = part.rpartition("\\in ")
        shape = read_shape(behind if named else part)
        if isinstance(shape, Several) and shape.grouping == Grouping.SET:
            pieces.extend(Interval(value, True, value, True) for value in shape.parts)
            continue
        region = as_region(shape)
        if region is None:
            return Single(text)
        pieces.extend(region.pieces)
    return Region(tuple(pieces))


def _relation(text: str, found: list[tuple[str, int, int]]) -> Shape:
    signs = tuple(sign for sign, _, _ in found if sign in _RELATIONS)
    sides = _split(text, found, _RELATIONS)
    if not sides[0] or not sides[-1]:
        return Single(text)
    if signs == ("\\in",):
        region = as_region(read_shape(sides[1])) if _VARIABLE.match(sides[0]) else None
        return Region(region.pieces, sides[0]) if region is not None else Single(text)
    if signs == ("\u2260",) and _VARIABLE.match(sides[0]):
        low = Interval("-" + _INFINITY, False, sides[1], False)
        return Region((low, Interval(sides[1], False, _INFINITY, False)), sides[0])
    return _inequality(sides, signs) or Relation(tuple(sides), signs)


def _inequality(sides: list[str], signs: tuple[str, ...]) -> Region | None:
    """`x > a` or `a < x < b` as an interval; None for any other relation."""
    if not all(sign in _FLIPPED for sign in signs):
        return None
    if signs[0] not in _LESS:
        sides, signs = sides[::-1], tuple(_FLIPPED[sign] for sign in reversed(signs))
    if not all(sign in _LESS for sign in signs):
        return None
    match sides:
        case [variable, high] if _is_bound(high) and _VARIABLE.match(variable):
            return Region((Interval("-" + _INFINITY, False, high, signs[0] != "<"),), variable)
        case [low, variable] if _is_bound(low) and _VARIABLE.match(variable):
            return Region((Interval(low, signs[0] != "<", _INFINITY, False),), variable)
        case [low, variable, high] if _VARIABLE.match(variable):
            low_closed, high_closed = signs[0] != "<", signs[1] != "<"
            return Region((Interval(low, low_closed, high, high_closed),), variable)
    return None


def _is_bound(text: str) -> bool:
    """Whether a side is a number and not a variable: `x < y` is no interval."""
    return not re.search(r"(?<![A-Za-z\\])[A-Za-df-z](?![A-Za-z])", text)


def _bracketed(text: str) -> Shape:
    """Several values in brackets, or an interval with two kinds of brackets; else a Single."""
    opening = "\\{" if text.startswith("\\{") else text[:1]
    if text.startswith("\\langle"):
        inner = text.removeprefix("\\langle").removesuffix("\\rangle")
        return Several(Grouping.TUPLE, tuple(_parts(inner)))
    if opening not in _OPENINGS:
        return Single(text)
    closing = next((sign for sign in (")", "]", "\\}", "}") if text.endswith(sign)), None)
    if closing is None or not _closes_at_the_end(text):
        return Single(text)
    parts = _parts(text[len(opening) : -len(closing)])
    grouping, own_closing = _OPENINGS[opening]
    if closing == own_closing:
        if len(parts) == 1 and opening != "\\{":
            return Single(text) if opening == "[" else read_shape(parts[0])
        return Several(grouping, tuple(parts))
    if len(parts) == 2 and opening in "([" and closing in ")]":
        return Region((Interval(parts[0], opening == "[", parts[1], closing == "]"),))
    return Single(text)


def _parts(inner: str) -> list[str]:
    found = _top_level_signs(inner)
    return [part for part in _split(inner, _without_thousands(inner, found), _COMMAS) if part]


def _closes_at_the_end(text: str) -> bool:
    """Whether the bracket that opens the text is closed by its last character and not before."""
    depth = 0
    for match in _SEPARATOR.finditer(text):
        if match[0] in _DEEPER:
            depth += 1
        elif match[0] in _HIGHER:
            depth -= 1
            if depth == 0:
                return match.end() == len(text)
    return False
