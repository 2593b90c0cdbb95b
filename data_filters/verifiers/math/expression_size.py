"""Whether an expression would keep a computer algebra system busy for longer than any answer is worth."""

from __future__ import annotations

import re

MAX_NESTING = 30
_MAX_DIGITS = 300
_LARGE_POWER = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*[-+]?\d{4,}")
_TOWER = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*\d+\s*(?:\^|\*\*)")
_LARGE_FACTORIAL = re.compile(r"\d{4,}\s*\)?\s*!")
_LARGE_CHOICE = re.compile(r"\\binom\s*\{?\s*\d{5,}")
_LARGE_SUM = re.compile(r"\\(?:sum|prod)[^A-Za-z].*?\^\s*\{?\s*\d{5,}", re.DOTALL)
_DIGIT_RUN = re.compile(rf"\d{{{_MAX_DIGITS},}}")


def size_problem(text: str) -> str | None:
    """Why `text` would take a computer algebra system too long; None when it looks harmless."""
    if _DIGIT_RUN.search(text):
        return f"a number has {_MAX_DIGITS} digits or more"
    if is_nested_too_deep(text) or max(text.count("\\sqrt"), text.count("\\frac")) > MAX_NESTING:
        return f"brackets, roots or fractions are nested deeper than {MAX_NESTING}"
    for pattern, what in (
        (_LARGE_POWER, "an exponent has four digits or more"),
        (_TOWER, "powers are stacked"),
        (_LARGE_FACTORIAL, "a factorial is taken of four digits or more"),
        (_LARGE_CHOICE, "a binomial is taken of five digits or more"),
        (_LARGE_SUM, "a sum or product has a bound of five digits or more"),
    ):
        if pattern.search(text):
            return what
    return None


def is_nested_too_deep(text: str) -> bool:
    """Whether brackets of any kind are open in more than MAX_NESTING levels at once."""
    if sum(map(text.count, "({[")) <= MAX_NESTING:
        return False
    depth = 0
    for character in text:
        if character in "({[":
            depth += 1
            if depth > MAX_NESTING:
                return True
        elif character in ")}]":
            depth = max(depth - 1, 0)
    return False
