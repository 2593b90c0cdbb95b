"""The words that a formula is made of, in LaTeX or in plain text."""

from __future__ import annotations

import re


class UnreadableError(Exception):
    """The text is no formula that this reader understands in exactly one way."""


_MAX_TOKENS = 1500
FUNCTIONS = frozenset(
    (
        *("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
        *("ln", "log", "lg", "exp"),
    )
)
END = ("end", "")

Token = tuple[str, str]
"""What a token is (number, command, letter, sign) and its text."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d{1,3}(?:,\ ?\d{3})+(?!\d)|\d+\.?\d*|\.\d+)
     |(?P<command>\\[A-Za-z]+)
     |(?P<word>[A-Za-z]+)
     |(?P<letter>[\u03b1-\u03c9])
     |(?P<sign>\*\*|[-+*/^_!|(){}\[\]%\u00b0])
    )""",
    re.VERBOSE,
)
_PLAIN_NAMES = {"pi": "pi", "infinity": "infty", "infty": "infty", "inf": "infty", "oo": "infty"}
_OPERATORS = {"\\cdot": "*", "\\times": "*", "\\div": "/", "**": "^"} | dict.fromkeys(
    ("\\vert", "\\mid", "\\lvert", "\\rvert"), "|"
)
_LONGEST_LETTER_PRODUCT = 4


def read_tokens(text: str) -> list[Token]:
    """The tokens of a normalised formula. Raises UnreadableError for words, and for what no formula holds."""
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None or len(tokens) >= _MAX_TOKENS:
            raise UnreadableError(f"no formula from {text[position : position + 20]!r} on")
        position = found.end()
        kind = found.lastgroup or ""
        token = found[kind]
        if kind == "word":
            tokens.extend(_word_tokens(token))
        elif kind == "number":
            # Lists were split at their commas before: what is left stands between thousands.
            tokens.append((kind, token.replace(",", "").replace(" ", "")))
        elif token in _OPERATORS:
            tokens.append(("sign", _OPERATORS[token]))
        else:
            tokens.append((kind, token))
    return tokens


def _word_tokens(word: str) -> list[Token]:
    """A run of letters: a known name, or a product of one-letter variables."""
    if word in _PLAIN_NAMES:
        return [("command", "\\" + _PLAIN_NAMES[word])]
    if word in FUNCTIONS or word == "sqrt":
        return [("command", "\\" + word)]
    if len(word) > _LONGEST_LETTER_PRODUCT or any(
        name in word for name in ("sin", "cos", "tan", "log", "ln")
    ):
        raise UnreadableError(f"the word {word!r}")
    return [("letter", letter) for letter in word]
