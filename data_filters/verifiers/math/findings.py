"""What a comparison of two answers found, and by which rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from data_filters.samples import Outcome
from data_filters.verifiers.math.exact_values import Agreement
from data_filters.verifiers.math.pool import Views, WorkerResult


class Rule(StrEnum):
    """By which rule an answer was accepted; the reason slug is `math_correct_` and this."""

    EXACT = "exact"
    """The same spelling, but for blanks and typesetting."""
    NUMERIC = "numeric"
    """The same number."""
    PERCENT = "percent"
    """The same number, where a percent sign stands on one side only."""
    ROUNDED = "rounded"
    """A decimal of six or more significant digits that the other value rounds to."""
    UNIT = "unit"
    """The same number or value, where a unit is left off on one side or converted."""
    BASE = "base"
    """The same number, where one is written in another base."""
    TEXT = "text"
    """The same words."""
    CHOICE = "choice"
    """The same choice of several."""
    RATIO = "ratio"
    """The same ratio or time of day."""
    ALGEBRAIC = "algebraic"
    """The same exact normal form."""
    LIST = "list"
    TUPLE = "tuple"
    VECTOR = "vector"
    """The same matrix, or a row or column of the same entries as a tuple."""
    INTERVAL = "interval"
    """The same numbers, as intervals or as inequalities."""
    EQUATION = "equation"
    """The same equation or inequality."""
    NAMED_VALUE = "named_value"
    """The same value, where one side says whose value it is: `x = 5`."""
    SYMBOLIC = "symbolic"
    """math-verify finds them equal, and nothing speaks against it."""
    EVALUATED = "evaluated"
    """The same value at several points, where math-verify cannot read one of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a comparison found; `rule` is set where it is verified, `reason` and `detail` everywhere else."""

    outcome: Outcome
    rule: Rule | None = None
    reason: str = ""
    detail: str = ""


DIFFERENT = Finding(Outcome.REFUTED, None, "math_wrong_answer")
_WORKER_FAILURES = {
    WorkerResult.TIMEOUT: "math_timeout",
    WorkerResult.MEMORY: "math_out_of_memory",
    WorkerResult.CRASHED: "math_crashed",
}


def accepted(rule: Rule) -> Finding:
    """The finding that two answers are the same by a rule."""
    return Finding(Outcome.VERIFIED, rule)


def joined(findings: Iterable[Finding], rule: Rule) -> Finding:
    """One finding for elements that must all agree: a wrong one decides, then one that could not be compared."""
    undecided: Finding | None = None
    for found in findings:
        if found.outcome == Outcome.REFUTED:
            return found
        if found.outcome != Outcome.VERIFIED and undecided is None:
            undecided = found
    return undecided or accepted(rule)


def weighed(views: Views) -> Finding:
    """One finding from the views of math-verify, in both orders, and of our evaluation; failed where there are none.

    Two that contradict each other leave the answer unverified.
    """
    if views.result != WorkerResult.COMPARED:
        return Finding(Outcome.FAILED, None, _WORKER_FAILURES[views.result], views.problem)
    library = {view for view in (views.library, views.reversed) if view is not None}
    numeric = {Agreement.SAME: {True}, Agreement.DIFFERENT: {False}}.get(views.numeric, set())
    if len(library | numeric) > 1:
        return Finding(Outcome.UNVERIFIED, None, "math_comparators_disagree", _both_views(views))
    if library == {True}:
        return accepted(Rule.SYMBOLIC)
    if numeric == {True}:
        return accepted(Rule.EVALUATED)
    if not library and not numeric and views.unreadable == "gold":
        return Finding(Outcome.FAILED, None, "math_reference_unreadable")
    return DIFFERENT


def _both_views(views: Views) -> str:
    said = {True: "equal", False: "different", None: "unreadable"}
    return (
        f"math-verify: {said[views.library]}, with the sides exchanged: {said[views.reversed]};"
        f" evaluation at points: {views.numeric}"
    )
