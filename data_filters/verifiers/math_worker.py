"""The process that runs math-verify: one JSON line in, one JSON line out, until its input ends.

Started by `math_pool` as a program of its own, so that its parent can kill it at any moment. It imports
nothing of this package: a question is {"gold": ..., "candidate": ..., "seconds": ...} and the reply
{"equal": true | false | null, "problem": "..."}, where null means that the gold answer could not be read.
"""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
from typing import Any

_MEMORY_BYTES = 4 * 1024**3
_RELATIVE_TOLERANCE = 1e-9
_DECIMAL_TOLERANCE = 5e-7
_LEAST_DECIMAL = 1e-3


def main() -> None:
    """Answer questions on standard input until it ends."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compare = _make_comparison()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    _reply({"ready": True})
    for line in sys.stdin:
        question = json.loads(line)
        _allow_seconds(question["seconds"])
        try:
            _reply({"equal": compare(question["gold"], question["candidate"]), "problem": ""})
        # The parser and sympy raise nearly anything on odd input; the parent counts it as a crash of the
        # check.
        except Exception as error:
            _reply({"equal": None, "problem": f"{type(error).__name__}: {error}"[:300]})


def _reply(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _allow_seconds(seconds: float) -> None:
    """Let this process die by itself soon after its parent, should it be gone, would have killed it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(usage.ru_utime + usage.ru_stime + seconds + 2)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _make_comparison() -> Any:
    """Import math-verify once and return the comparison of two LaTeX texts."""
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Expr  # type: ignore[import-untyped]  # sympy ships no types

    reading = [LatexExtractionConfig()]

    def read(text: str) -> list[Any]:
        # No fallback to "any number in the text": it makes 1 - 1/e equal to 1 + 1/e.
        found = parse(f"${text}$", reading, fallback_mode="no_fallback", parsing_timeout=None)
        return [value for value in found if not isinstance(value, str)]

    def agree(gold: Any, candidate: Any) -> bool:
        if isinstance(gold, Expr) and isinstance(candidate, Expr):
            if gold.free_symbols != candidate.free_symbols:
                return False
            if gold.is_number and candidate.is_number and not _near(gold, candidate):
                return False
        # verify is not symmetric: x > 3 and (3, oo) agree in one order only.
        return bool(
            verify([gold], [candidate], timeout_seconds=None)
            or verify([candidate], [gold], timeout_seconds=None)
        )

    def compare(gold: str, candidate: str) -> bool | None:
        golds = read(gold)
        if not golds:
            return None
        return any(agree(golds[0], value) for value in read(candidate)[:1])

    return compare


def _near(gold: Any, candidate: Any) -> bool:
    """Relative nearness: math-verify's own tolerance is absolute and makes all tiny numbers equal."""
    if not (gold.is_finite and candidate.is_finite):
        return bool(gold == candidate)
    first, second = gold.evalf(20), candidate.evalf(20)
    difference, size = abs(first - second), max(abs(first), abs(second))
    if difference <= _RELATIVE_TOLERANCE * size:
        return True
    # A decimal of six places stands for the exact number that it rounds to.
    return bool(difference <= _DECIMAL_TOLERANCE and size > _LEAST_DECIMAL)


if __name__ == "__main__":
    main()
