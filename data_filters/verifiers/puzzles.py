"""Whether a puzzle's answer is right, by the scorer of the reasoning-gym data set that made the puzzle.

Full marks count, part marks do not; where the scorer is too lax, a rule of our own must hold as well (see
`puzzle_rules`).
"""

from __future__ import annotations

import re

from data_filters.samples import TASK, Check, Outcome, PuzzleTask
from data_filters.verifiers import guarded
from data_filters.verifiers.extraction import announced_answer
from data_filters.verifiers.math.expression_size import size_problem
from data_filters.verifiers.puzzle_rules import breaks_rule, decide, hidden_from_scorer

FULL_MARKS = 1 - 1e-6
"""Scores from here on count as right: part marks reach 0.99 for one wrong letter in a long answer."""

MAX_CHARACTERS = 10_000
"""Longer answers are not given to a scorer."""

_SCORING = "data_filters.verifiers.puzzle_scoring"
_OPENING_TAG = "<answer>"
_CLOSING_TAG = "</answer>"
_FENCED = re.compile(r"```[a-z]*\n([^`]*)```")
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|texttt)\{([^{}]*)\}")
_ENDINGS = {
    guarded.Ending.RAISED: "puzzle_scorer_crashed",
    guarded.Ending.CRASHED: "puzzle_scorer_crashed",
    guarded.Ending.MEMORY: "puzzle_too_large",
    guarded.Ending.TIMEOUT: "puzzle_timeout",
}


def check(task: PuzzleTask, content: str, seconds: float) -> Check:
    """Judge the text after the thought: its tagged, boxed or announced answer, else all of it.

    `seconds` bounds the scorer. Verified with `puzzle_correct`; refuted with `puzzle_wrong_answer` or
    `puzzle_no_answer`; failed with `puzzle_not_usable` (no such data set, or an incomplete entry), `puzzle_too_large`,
    `puzzle_not_scored` (a scorer would run it as a program), `puzzle_timeout` or `puzzle_scorer_crashed`.
    """
    answer = puzzle_answer(content)
    if not answer:
        return Check(TASK, Outcome.REFUTED, "puzzle_no_answer", f"the text ends {content[-60:]!r}")
    problem = f"it has {len(answer)} characters" if len(answer) > MAX_CHARACTERS else size_problem(answer)
    if problem is not None:
        return Check(TASK, Outcome.FAILED, "puzzle_too_large", problem)
    if (problem := hidden_from_scorer(task.dataset, answer, task.entry)) is not None:
        return Check(TASK, Outcome.FAILED, "puzzle_not_scored", problem)
    try:
        return _judge(task, answer, seconds)
    # An entry that the scorer may understand, but that lacks what a rule reads.
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return Check(TASK, Outcome.FAILED, "puzzle_not_usable", f"{type(error).__name__}: {error}"[:300])


def _judge(task: PuzzleTask, answer: str, seconds: float) -> Check:
    decided = decide(task.dataset, answer, task.entry)
    if decided is None:
        return _score(task, answer, seconds)
    return _found(None if decided else f"{answer[:80]!r} breaks the rules of {task.dataset}")


def _score(task: PuzzleTask, answer: str, seconds: float) -> Check:
    question = {"dataset": task.dataset, "answer": answer, "entry": task.entry}
    reply = guarded.shared(_SCORING).ask(question, seconds)
    if reply.ending != guarded.Ending.ANSWERED:
        return Check(TASK, Outcome.FAILED, _ENDINGS[reply.ending], reply.detail)
    if "problem" in reply.value:
        return Check(TASK, Outcome.FAILED, "puzzle_not_usable", reply.value["problem"])
    score = reply.value["score"]
    if not score >= FULL_MARKS:
        return _found(f"score {score:.2f} for {answer[:80]!r}")
    return _found(breaks_rule(task.dataset, answer, task.entry))


def _found(problem: str | None) -> Check:
    if problem is not None:
        return Check(TASK, Outcome.REFUTED, "puzzle_wrong_answer", problem)
    return Check(TASK, Outcome.VERIFIED, "puzzle_correct")


def puzzle_answer(content: str) -> str:
    """The answer inside the last `<answer>` tags, else the last announced one, else the whole text."""
    before, closing, _ = content.rpartition(_CLOSING_TAG)
    if closing and _OPENING_TAG in before:
        answer = before.rpartition(_OPENING_TAG)[2]
    else:
        announced = announced_answer(content)
        answer = announced.answer.strip("$ ") if announced is not None else content
    answer = answer.strip()
    fenced = _FENCED.fullmatch(answer)
    return _TEXT_COMMAND.sub(r"\1", fenced[1].strip() if fenced else answer)
