"""The words around a problem's steps, varied so that a model learns the steps and not one sentence."""

from __future__ import annotations

import random

from data_filters.synthetic.problems import Problem

_OPENINGS = ("", "", "Let me see. ", "Step by step. ", "First things first. ", "I work through it. ")
_CONCLUSIONS = (
    "So the answer is {}.",
    "That gives {}.",
    "The result is {}.",
    "Therefore {}.",
)
_PLAIN_CONCLUSIONS = ("Now I can write it.", "I will do that.", "That is all it needs.")


def thought(problem: Problem, draw: random.Random, steps: tuple[str, ...] | None = None) -> str:
    """Return the thought for `problem`; `steps` replaces its own steps, for traces that go wrong. A step that does not
    end its line is followed by a blank."""
    told = "".join(
        step if step.endswith("\n") else f"{step} " for step in (problem.steps if steps is None else steps)
    )
    if problem.task is None:
        return f"{draw.choice(_OPENINGS)}{told}".rstrip()
    if problem.has_result:
        closing = draw.choice(_CONCLUSIONS).format(problem.answer)
    else:
        closing = draw.choice(_PLAIN_CONCLUSIONS)
    return f"{draw.choice(_OPENINGS)}{told}{closing}"
