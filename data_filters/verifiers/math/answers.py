"""Whether a math answer is right.

The answer after the thought is compared with the reference from the cheapest way to the dearest: the same spelling, the
same number, the same values part by part, the same exact normal form, and only then math-verify beside an evaluation
of our own, in a process that can be killed. What is too large or takes too long is `failed`: the answer was not shown
to be wrong. Two comparators that contradict each other leave it `unverified`.

What counts as the same answer:

- Percent: a sign on one side only is read either way; 40 and 40 % agree, and so do 0.4 and 40 %.
- Decimals for fractions, roots and pi: from six significant digits on, rounded or cut off; 0.333333 is 1/3, and 0.333
  is not. A value that has an exact decimal of that length must be given exactly.
- Units: one may be left off; two units of measure must measure the same and are converted; other words behind a number
  (`14 triangles`) are not compared. A letter grown together with a number is a variable.
- Numbers: commas between thousands, with or without a blank; scientific notation; mixed numbers; -0 is 0. A subscript
  names another base, and such a number equals any of the same value; its digits alone are a number in base ten.
- Several values: a list or a set has no order, a tuple has one. A list may stand for a tuple in the tuple's order; a
  set may not. A row or a column stands for the tuple of its entries. `a \\pm b` is two values. `15,600` may be one
  number or two.
- Intervals may be written as inequalities, with or without the name of the variable, in either direction.
- `x = 5` and `5` agree, and so do equations that are multiples of each other. Where sides are chained, as in
  `2 + 3 = 5`, all of them must agree, and the last one counts.
- Choices: `A`, `(A)` and `A) 5` agree; `A) 5` also stands for 5.
- Several boxes: the last one counts, together with those that only a comma, "and" or "or" joins to it. Boxes that are
  each right, as `1\\frac{1}{2}` or `1.5`, are one answer.
- A number that is announced in another form behind the box, and differs from it, leaves the row unverified where one of
  the two is right.
"""

from __future__ import annotations

from data_filters.samples import Check, MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers.extraction import Extraction, announced_answer, unannounced_answer
from data_filters.verifiers.math.comparison import Comparison
from data_filters.verifiers.math.findings import Finding
from data_filters.verifiers.math.numbers import normalise, read_number, simple_whole

CHECK_NAME = "task"

_SHOWN = 80
_MAX_BOXES = 4
_EXACT = Check(CHECK_NAME, Outcome.VERIFIED, "math_correct_exact")
_NUMERIC = Check(CHECK_NAME, Outcome.VERIFIED, "math_correct_numeric")


def check(task: MathTask, content: str, thought: str | None, settings: VerifySettings) -> Check:
    """Judge the text after the thought; the thought only tells why an answer may be missing.

    Outcomes and reasons as in `compare`, or refuted with `math_no_answer` or `math_answer_only_in_thought`.
    """
    found = announced_answer(content)
    hidden = announced_answer(thought) if found is None and thought else None
    # Where a form was asked, a number in passing is no answer.
    if found is None and not (task.format and hidden):
        found = unannounced_answer(content)
    if found is None:
        if hidden is not None:
            return _refuted("math_answer_only_in_thought", f"the thought says {hidden.answer[:_SHOWN]!r}")
        return _refuted("math_no_answer", f"the text ends {content[-60:]!r}")
    decided = compare(task.answer, found.answer, settings)
    if 1 < len(found.boxes) <= _MAX_BOXES and decided.outcome == Outcome.REFUTED:
        decided = _each_box(decided, task.answer, found.boxes, settings)
    return decided if found.later is None else _with_later_answer(decided, task.answer, found, settings)


def compare(gold: str, given: str, settings: VerifySettings) -> Check:
    """Compare an extracted answer with the reference.

    Verified with `math_correct_` and the rule (`comparison.Rule`); refuted with `math_wrong_answer`; unverified with
    `math_comparators_disagree`; failed with `math_too_large`, `math_timeout`, `math_out_of_memory`, `math_crashed` or
    `math_reference_unreadable`.
    """
    if gold == given:
        return _EXACT
    first, second = simple_whole(gold), simple_whole(given)
    if first is not None and second is not None:
        if first == second:
            return _NUMERIC
        if "," not in gold and "," not in given:
            return _refuted("math_wrong_answer", _difference(gold, given))
    limit = settings.max_answer_characters
    for text, whose in ((given, "answer"), (gold, "reference")):
        if len(text) > limit:
            detail = f"the {whose} has {len(text)} characters; at most {limit} are compared"
            return Check(CHECK_NAME, Outcome.FAILED, "math_too_large", detail)
    expected, answered = normalise(gold), normalise(given)
    if max(len(expected), len(answered)) > limit * 2:
        detail = f"an answer grows to more than {limit * 2} characters when it is spelled out"
        return Check(CHECK_NAME, Outcome.FAILED, "math_too_large", detail)
    finding = Comparison(settings.math_timeout_seconds).compare(expected, answered)
    return _check(finding, gold, given)


def _each_box(decided: Check, gold: str, boxes: tuple[str, ...], settings: VerifySettings) -> Check:
    """Several boxes may write one value in several ways: then each of them is right."""
    found = [compare(gold, box, settings) for box in boxes]
    return found[-1] if all(one.outcome == Outcome.VERIFIED for one in found) else decided


def _with_later_answer(decided: Check, gold: str, found: Extraction, settings: VerifySettings) -> Check:
    """Hold a box against what is announced behind it: one right and one wrong leave the row unverified."""
    announced = (found.later or "")[:_SHOWN]
    if read_number(normalise(announced)) is None:
        # Only a number is surely an answer: "our answer: it holds that ..." announces something else.
        return decided
    later = compare(gold, announced, settings)
    if {decided.outcome, later.outcome} != {Outcome.VERIFIED, Outcome.REFUTED}:
        return decided
    detail = f"the box says {found.answer[:_SHOWN]!r}, the text behind it {announced!r}"
    return Check(CHECK_NAME, Outcome.UNVERIFIED, "math_comparators_disagree", detail)


def _check(finding: Finding, gold: str, given: str) -> Check:
    if finding.rule is not None:
        return Check(CHECK_NAME, Outcome.VERIFIED, f"math_correct_{finding.rule}")
    detail = f"{finding.detail}; {_difference(gold, given)}" if finding.detail else _difference(gold, given)
    return Check(CHECK_NAME, finding.outcome, finding.reason, detail)


def _difference(gold: str, given: str) -> str:
    return f"expected {gold[:_SHOWN]!r}, found {given[:_SHOWN]!r}"


def _refuted(reason: str, detail: str) -> Check:
    return Check(CHECK_NAME, Outcome.REFUTED, reason, detail)
