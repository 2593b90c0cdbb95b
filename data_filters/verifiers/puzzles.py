"""Whether a puzzle's answer is right, by the scorer of the reasoning-gym data set that made the puzzle."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from data_filters.samples import Check, Outcome, PuzzleTask
from data_filters.verifiers.expression_size import size_problem
from data_filters.verifiers.extraction import announced_answer

CHECK_NAME = "task"
FULL_MARKS = 0.99
"""Scores from here on count as right: some scorers reach 1 only up to rounding."""

MAX_CHARACTERS = 10_000
"""Longer answers are not given to a scorer: some evaluate what they are given."""

_ANSWER_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def check(task: PuzzleTask, content: str) -> Check:
    """Judge the text after the thought: its boxed, tagged or announced answer, else all of it.

    Verified with `puzzle_correct`; refuted with `puzzle_wrong_answer` or `puzzle_no_answer`; failed with
    `puzzle_not_usable` (no such data set), `puzzle_too_large` or `puzzle_scorer_crashed`.
    """
    answer = puzzle_answer(content)
    if not answer:
        return Check(CHECK_NAME, Outcome.REFUTED, "puzzle_no_answer", f"the text ends {content[-60:]!r}")
    problem = f"it has {len(answer)} characters" if len(answer) > MAX_CHARACTERS else size_problem(answer)
    if problem is not None:
        return Check(CHECK_NAME, Outcome.FAILED, "puzzle_too_large", problem)
    try:
        scorer = _scorer(task.dataset)
    except ValueError as error:
        return Check(CHECK_NAME, Outcome.FAILED, "puzzle_not_usable", str(error))
    try:
        score = float(scorer.score_answer(answer, task.entry))
    # Scorers are third-party code for a hundred kinds of puzzle; a crash of one is no verdict on the answer.
    except Exception as error:
        return Check(
            CHECK_NAME, Outcome.FAILED, "puzzle_scorer_crashed", f"{type(error).__name__}: {error}"[:300]
        )
    if score >= FULL_MARKS:
        return Check(CHECK_NAME, Outcome.VERIFIED, "puzzle_correct")
    return Check(CHECK_NAME, Outcome.REFUTED, "puzzle_wrong_answer", f"score {score:.2f} for {answer[:80]!r}")


def puzzle_answer(content: str) -> str:
    """The answer inside `<answer>` tags, else the last announced one, else the whole text."""
    tagged = _ANSWER_TAG.findall(content)
    if tagged:
        return str(tagged[-1]).strip()
    announced = announced_answer(content)
    return announced.answer.strip("$ ") if announced is not None else content.strip()


@cache
def _scorer(dataset: str) -> Any:
    """The data set that scores answers. Raises ValueError for a name that reasoning-gym does not know."""
    import reasoning_gym

    return reasoning_gym.create_dataset(dataset, size=1, seed=0)
