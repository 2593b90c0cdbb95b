"""Numbers that are written with their base, such as 204_5."""

from __future__ import annotations

import re

BASED_NUMBER = re.compile(r"(-?)\s*([0-9A-Z]+)\s*_\s*\{?\s*(\d{1,2})\s*\}?$")


def based_value(found: re.Match[str]) -> int | None:
    """The value of a match of BASED_NUMBER; None for a base or a digit that does not exist."""
    if not 2 <= int(found[3]) <= 36:
        return None
    try:
        return int(found[1] + found[2], int(found[3]))
    except ValueError:
        return None


def in_base_ten(text: str) -> str:
    """A number that is written with its base, as math-verify and our formulas can read it; else the text."""
    found = BASED_NUMBER.match(text)
    value = based_value(found) if found is not None else None
    return text if value is None else str(value)
