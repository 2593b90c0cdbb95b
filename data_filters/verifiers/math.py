"""Whether a math answer is right, from the cheapest comparison to the dearest.

Same spelling, then same exact number, then math-verify in a process that can be killed. What is too large for
it, or takes too long, is `failed`: the answer was not shown to be wrong.
"""

from __future__ import annotations

import re
from fractions import Fraction

from data_filters.samples import Check, MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers.expression_size import size_problem
from data_filters.verifiers.extraction import announced_answer, extract_answer
from data_filters.verifiers.math_pool import Comparison, shared_worker
from data_filters.verifiers.numbers import PlainNumber, normalise, numbers_agree, read_number, without_blanks

CHECK_NAME = "task"

_NAMED_VALUE = re.compile(r"^[A-Za-z](?:\([A-Za-z]\))?\s*=\s*(?=\S)")
_BASED_NUMBER = re.compile(r"^(-?)([0-9A-Z]+)\s*_\s*\{?\s*(\d{1,2})\s*\}?$")
_LETTERED_NUMBER = re.compile(r"\d\s?[A-Za-z](?![A-Za-z])")
_WORDS_ONLY = re.compile(r"^\(?[A-Za-z][A-Za-z '\-]*\)?$")

_RESULTS = {
    Comparison.EQUAL: (Outcome.VERIFIED, "math_correct_symbolic"),
    Comparison.DIFFERENT: (Outcome.REFUTED, "math_wrong_answer"),
    Comparison.GOLD_UNREADABLE: (Outcome.FAILED, "math_reference_unreadable"),
    Comparison.TIMEOUT: (Outcome.FAILED, "math_timeout"),
    Comparison.CRASHED: (Outcome.FAILED, "math_crashed"),
}


def check(task: MathTask, content: str, thought: str | None, settings: VerifySettings) -> Check:
    """Judge the text after the thought; the thought only tells why an answer may be missing."""
    announced, hidden = announced_answer(content), announced_answer(thought or "")
    # Where a form was asked, a number in passing is no answer.
    found = announced if announced is not None or (task.format and hidden) else extract_answer(content)
    if found is None:
        if hidden is not None:
            return _check(
                Outcome.REFUTED, "math_answer_only_in_thought", f"the thought says {hidden.answer[:80]!r}"
            )
        return _check(Outcome.REFUTED, "math_no_answer", f"the text ends {content[-60:]!r}")
    return compare(task.answer, found.answer, settings)


def compare(gold: str, given: str, settings: VerifySettings) -> Check:
    """Compare an extracted answer with the reference.

    Verified with `math_correct_exact`, `_numeric` or `_symbolic`; refuted with `math_wrong_answer`; failed
    with `math_too_large`, `math_timeout`, `math_crashed` or `math_reference_unreadable`.
    """
    if len(given) > settings.max_answer_characters:
        detail = (
            f"the answer has {len(given)} characters; at most {settings.max_answer_characters} are compared"
        )
        return _check(Outcome.FAILED, "math_too_large", detail)
    expected, candidate = _without_name(normalise(gold), normalise(given))
    if without_blanks(expected) == without_blanks(candidate):
        return _check(Outcome.VERIFIED, "math_correct_exact")
    decided = _compare_plainly(expected, candidate)
    return decided if decided is not None else _compare_symbolically(expected, candidate, settings)


def _compare_plainly(expected: str, candidate: str) -> Check | None:
    """Decide without algebra where that is exact; None leaves the decision to math-verify."""
    gold_number, given_number = read_number(expected), read_number(candidate)
    if gold_number is not None and given_number is not None:
        return _decided(numbers_agree(gold_number, given_number), "math_correct_numeric", expected, candidate)
    if _BASED_NUMBER.match(expected) or _BASED_NUMBER.match(candidate):
        first, second = _based_or_plain(expected, gold_number), _based_or_plain(candidate, given_number)
        same = first is not None and first == second
        return _decided(same, "math_correct_numeric", expected, candidate)
    if _WORDS_ONLY.match(expected):
        same = _words(expected) == _words(candidate)
        return _decided(same, "math_correct_exact", expected, candidate)
    if gold_number is not None and (_LETTERED_NUMBER.search(candidate) or _is_broken_chain(candidate)):
        return _decided(False, "", expected, candidate)
    return None


def _compare_symbolically(expected: str, candidate: str, settings: VerifySettings) -> Check:
    for text, whose in ((candidate, "answer"), (expected, "reference")):
        problem = size_problem(text)
        if problem is not None:
            return _check(Outcome.FAILED, "math_too_large", f"in the {whose}, {problem}")
    result = shared_worker().compare(expected, candidate, settings.math_timeout_seconds)
    outcome, reason = _RESULTS[result.comparison]
    return _check(outcome, reason, result.detail or _difference(expected, candidate))


def _without_name(expected: str, candidate: str) -> tuple[str, str]:
    """Take a name such as `x =` off an answer when the other one stands without."""
    if "=" in expected and "=" in candidate:
        return expected, candidate
    return _NAMED_VALUE.sub("", expected), _NAMED_VALUE.sub("", candidate)


def _based_or_plain(text: str, plain: PlainNumber | None) -> Fraction | None:
    """The value of a number written with its base, such as 204_5, or plainly; None for anything else."""
    found = _BASED_NUMBER.match(text)
    if found is None:
        return plain.value if plain is not None else None
    if not 2 <= int(found[3]) <= 36:
        return None
    try:
        return Fraction(int(found[1] + found[2], int(found[3])))
    except ValueError:
        # A digit that the base does not have.
        return None


def _is_broken_chain(text: str) -> bool:
    """Whether `text` equates plain numbers that differ, as in 1 = 2, whose last part would be compared."""
    values = [number.value for part in text.split("=") if (number := read_number(part.strip())) is not None]
    return len(set(values)) > 1


def _words(text: str) -> str:
    return " ".join(text.strip("()").lower().split())


def _decided(same: bool, reason: str, expected: str, candidate: str) -> Check:
    if same:
        return _check(Outcome.VERIFIED, reason)
    return _check(Outcome.REFUTED, "math_wrong_answer", _difference(expected, candidate))


def _difference(expected: str, candidate: str) -> str:
    return f"expected {expected[:80]!r}, found {candidate[:80]!r}"


def _check(outcome: Outcome, reason: str, detail: str = "") -> Check:
    return Check(CHECK_NAME, outcome, reason, "" if outcome == Outcome.VERIFIED else detail)
