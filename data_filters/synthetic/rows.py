"""Rows of program-made problems, a known share of them faulty."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

from data_filters.errors import UserError
from data_filters.synthetic.faults import FAULTS, possible_faults
from data_filters.synthetic.kinds import KINDS
from data_filters.synthetic.problems import Problem
from data_filters.synthetic.wording import thought

_HELD_OUT_OF = 4
"""One subject in so many is held out."""
_SPLIT = 22
"""Number of the split: the first that holds out a quarter of the acts of each category of harmful requests."""
_POOL = 100
"""Problems are made when asked for: a pool that is larger than needed costs nothing."""


def rows(
    kind: str, count: int, seed: int, mode: str | None, faults: float, held_out: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield `count` rows of the kind `kind`, of which about the share `faults` (0 to 0.5) carries a planted fault.

    A faulty row is a further trace of the problem of the row before it, so that right and wrong traces of one prompt
    stand side by side, as rejection sampling gives them. `mode` None means think. Equal arguments give equal rows.
    No row with `held_out` shares the subject of one without, whatever their seeds and kinds: what is asked is another
    thing, not the same thing in other words. Raises UserError for an unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of synthetic rows {kind!r}; the kinds are {', '.join(sorted(KINDS))}")
    draw = random.Random(f"{kind}/{seed}/{mode}")
    problems = (
        problem for problem in KINDS[kind](_POOL * count, seed) if is_held_out(problem.subject) is held_out
    )
    # A fault follows a sound row and never another fault; this is how often it must do so.
    after_sound = faults / (1 - faults)
    previous: tuple[Problem, dict[str, Any]] | None = None
    for number in range(count):
        if previous is not None and draw.random() < after_sound:
            problem, message = previous
            fault = draw.choice(possible_faults(problem, mode or "think"))
            # A duplicate is the message before it, byte for byte.
            spoilt = message if fault == "duplicate" else FAULTS[fault](problem, message, draw)
            yield _row(kind, number, problem, spoilt, fault)
            previous = None
        else:
            problem = next(problems)
            message = _message(problem, mode, draw)
            previous = problem, message
            yield _row(kind, number, problem, message, None)


def is_held_out(subject: str) -> bool:
    """Whether problems of this subject are for measuring and never for training: a quarter of all subjects is."""
    return hashlib.sha256(f"{_SPLIT} {subject}".encode()).digest()[-1] % _HELD_OUT_OF == 0


def _message(problem: Problem, mode: str | None, draw: random.Random) -> dict[str, Any]:
    message = {"role": "assistant", "content": problem.content}
    if mode != "direct":
        message["reasoning"] = thought(problem, draw)
    return message


def _row(
    kind: str, number: int, problem: Problem, message: dict[str, Any], fault: str | None
) -> dict[str, Any]:
    meta = {"kind": problem.kind} | problem.meta | ({"fault": fault} if fault else {})
    return {
        "id": f"{kind}/{number}",
        "source": kind,
        "messages": [{"role": "user", "content": problem.question}, message],
        "task": problem.task,
        "meta": meta,
    }
