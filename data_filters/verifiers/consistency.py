"""Whether a thought agrees with itself and the answer: its sums are right, its conclusion is the answer."""

from __future__ import annotations

from data_filters.samples import Check, Outcome
from data_filters.verifiers.answer_format import choice_answers
from data_filters.verifiers.equations import wrong_equations
from data_filters.verifiers.extraction import announced_answer
from data_filters.verifiers.math.numbers import normalise, numbers_agree, read_number

CHECK_NAME = "consistency"
_CONCLUDING_CHARACTERS = 250
"""The end of a thought, in which its conclusion stands; what it announced before, it may have taken back since."""


def check(thought: str, answer: str | None) -> Check:
    """Judge a thought, and hold its stated conclusion against `answer`; None leaves the conclusion unjudged.

    Verified with `thought_consistent`; refuted with `thought_wrong_step` or `thought_other_conclusion`.
    """
    wrong = next(wrong_equations(thought), None)
    if wrong is not None:
        return Check(CHECK_NAME, Outcome.REFUTED, "thought_wrong_step", wrong)
    if answer is not None and (difference := _other_conclusion(thought[-_CONCLUDING_CHARACTERS:], answer)):
        return Check(CHECK_NAME, Outcome.REFUTED, "thought_other_conclusion", difference)
    return Check(CHECK_NAME, Outcome.VERIFIED, "thought_consistent")


def _other_conclusion(thought: str, answer: str) -> str:
    """How the number or letter that the thought announces differs from the answer's; empty when nothing differs."""
    announced = announced_answer(thought)
    given = announced_answer(answer) if announced is not None else None
    if announced is None or given is None or announced.answer == given.answer:
        return ""
    letters = choice_answers(announced.answer), choice_answers(given.answer)
    if all(letters):
        differ = letters[0][-1] != letters[1][-1]
    else:
        concluded, answered = read_number(normalise(announced.answer)), read_number(normalise(given.answer))
        differ = concluded is not None and answered is not None and not numbers_agree(answered, concluded)
    if not differ:
        return ""
    return f"the thought concludes {announced.answer[:60]!r}, the answer is {given.answer[:60]!r}"
