"""Faults with names, planted so that the filter's catch can be counted kind by kind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from data_filters.synthetic.problems import Problem
from data_filters.synthetic.wording import thought

Fault = Callable[[Problem, dict[str, Any], random.Random], dict[str, Any]]
"""Takes (problem, the right assistant message, a random draw) and returns the faulty assistant message."""

_EQUATION = re.compile(r"= (-?\d+)\.")


def wrong_step(problem: Problem, message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """One equation of the thought is false; the answer is still right."""
    index = draw.randrange(len(problem.steps))
    offset = draw.choice((-2, -1, 1, 2))
    spoilt = _EQUATION.sub(lambda match: f"= {int(match[1]) + offset}.", problem.steps[index])
    steps = (*problem.steps[:index], spoilt, *problem.steps[index + 1 :])
    return {**message, "reasoning": thought(problem, draw, steps)}


def wrong_answer(problem: Problem, message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The answer turn states something else than what is right."""
    return {**message, "content": problem.wrong_content}


def ignored_constraint(problem: Problem, message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The answer does not keep the constraint, and a thought passes over it: its last step is what it never gets to."""
    ignored = wrong_answer(problem, message, draw)
    if "reasoning" in message:
        ignored["reasoning"] = message["reasoning"].partition(problem.steps[-1])[0].rstrip()
    return ignored


def unclosed_think(problem: Problem, message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The thought never ends: the tag opens and the turn stops inside it."""
    return {"role": "assistant", "content": f"<think>\n{message['reasoning']}"}


def answer_only_in_thought(problem: Problem, message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The right answer stands in the thought; the answer turn does not give it."""
    return {
        **message,
        "reasoning": f"{message['reasoning']} {problem.content}",
        "content": "I have worked it out above.",
    }


FAULTS: Mapping[str, Fault] = {
    "wrong_step": wrong_step,
    "wrong_answer": wrong_answer,
    "unclosed_think": unclosed_think,
    "answer_only_in_thought": answer_only_in_thought,
    "ignored_constraint": ignored_constraint,
    "broken_json": wrong_answer,
    "refused": wrong_answer,
}
"""Every fault by name. JSON broken off and a harmless request refused are wrong answers of their kinds of problem."""

_ANSWER_FAULTS = {"constraints": "ignored_constraint", "records": "broken_json", "requests": "refused"}
"""What a wrong answer is called where a kind has a name of its own for it."""


def possible_faults(problem: Problem, mode: str) -> tuple[str, ...]:
    """Return the names of the faults that can be planted in a row of this problem in this mode."""
    names = [] if problem.wrong_content is None else [_ANSWER_FAULTS.get(problem.kind, "wrong_answer")]
    names.append("duplicate")
    if mode == "think":
        names.append("unclosed_think")
        if problem.has_result:
            names.append("answer_only_in_thought")
        if all(_EQUATION.search(step) for step in problem.steps):
            names.append("wrong_step")
    return tuple(names)
