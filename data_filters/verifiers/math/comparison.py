"""Whether an answer equals the reference: from the cheapest comparison to the dearest, by named rules.

Answers are taken apart into values (lists, sets, tuples, intervals, matrices, equations), and each value is compared
by spelling, as an exact number, as an exact formula, and only then by the comparing process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from itertools import pairwise

from data_filters.samples import Outcome
from data_filters.verifiers.math.based_numbers import BASED_NUMBER, based_value, in_base_ten
from data_filters.verifiers.math.elements import flattened, unlike
from data_filters.verifiers.math.exact_values import (
    Agreement,
    compare_equations,
    compare_exactly,
    compare_inequalities,
)
from data_filters.verifiers.math.expression_reader import read_expression
from data_filters.verifiers.math.expression_size import MAX_NESTING, is_nested_too_deep, size_problem
from data_filters.verifiers.math.expression_tokens import UnreadableError
from data_filters.verifiers.math.expressions import Expression
from data_filters.verifiers.math.findings import DIFFERENT, Finding, Rule, accepted, joined, weighed
from data_filters.verifiers.math.numbers import (
    PlainNumber,
    agreement,
    read_number,
    without_blanks,
)
from data_filters.verifiers.math.polynomials import NotExactError
from data_filters.verifiers.math.pool import WorkerResult, shared_worker
from data_filters.verifiers.math.rounding import is_rounded
from data_filters.verifiers.math.shapes import (
    Grouping,
    Interval,
    Matrix,
    Region,
    Relation,
    Several,
    Shape,
    Single,
    as_region,
    list_reading,
    read_shape,
)
from data_filters.verifiers.math.words import Wording, compare_labels, compare_words, split_unit, units_agree

_NAME = re.compile(r"(?:[A-Za-z]{1,3}(?:_\w|_\{\w+\})?|\\[a-z]+)(?:\^\{-1\})?(?:\([A-Za-z]\))?")
_WORDINGS = {
    Wording.SAME_TEXT: Finding(Outcome.VERIFIED, Rule.TEXT),
    Wording.SAME_CHOICE: Finding(Outcome.VERIFIED, Rule.CHOICE),
    Wording.SAME_RATIO: Finding(Outcome.VERIFIED, Rule.RATIO),
    Wording.DIFFERENT: DIFFERENT,
}
_MAX_UNLIKE_ELEMENTS = 12
"""So many elements of two sets may need more than their spelling and numbers to find their like."""
_MAX_DEPTH = 8
_MAX_SIDES = 10


class Comparison:
    """One comparison of an answer with its reference, and the time that is left for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._depth = 0

    def compare(self, gold: str, given: str) -> Finding:
        """Compare two normalised texts."""
        if without_blanks(gold) == without_blanks(given):
            return accepted(Rule.EXACT)
        for text in (gold, given):
            if is_nested_too_deep(text):
                return Finding(
                    Outcome.FAILED, None, "math_too_large", f"brackets nested deeper than {MAX_NESTING}"
                )
        return self._compare_part(gold, given)

    def _compare_part(self, gold: str, given: str) -> Finding:
        """Compare two texts whose brackets are known not to be too many."""
        if without_blanks(gold) == without_blanks(given):
            return accepted(Rule.EXACT)
        if time.monotonic() > self._deadline:
            return self._out_of_time()
        if self._depth >= _MAX_DEPTH:
            return Finding(Outcome.FAILED, None, "math_too_large", f"answers nested deeper than {_MAX_DEPTH}")
        self._depth += 1
        try:
            return self._compare_plainly(gold, given) or self._compare_shapes(gold, given)
        finally:
            self._depth -= 1

    def _compare_plainly(self, gold: str, given: str) -> Finding | None:
        """Decide numbers and words, whose whole text is one thing; None for all else."""
        first, second = read_number(gold), read_number(given)
        if first is not None and second is not None:
            return self._compare_numbers(gold, given, first, second)
        based = _compare_based(gold, given, first, second)
        if based is not None:
            return based
        wording = compare_words(gold, given)
        if wording is None:
            labels = compare_labels(gold, given)
            if isinstance(labels, tuple):
                return self._compare_part(*labels)
            wording = labels
        return _WORDINGS[wording] if wording is not None else None

    def _compare_numbers(self, gold: str, given: str, first: PlainNumber, second: PlainNumber) -> Finding:
        rule = agreement(first, second)
        if rule is not None:
            return accepted(Rule(rule.value))
        if "," in gold or "," in given:
            # `15,600` may be two numbers.
            firsts, seconds = list_reading(gold), list_reading(given)
            if firsts is not None and seconds is not None:
                return self._compare_unordered(firsts.parts, seconds.parts)
        return DIFFERENT

    def _compare_shapes(self, gold_text: str, given_text: str) -> Finding:
        gold, given = read_shape(gold_text), read_shape(given_text)
        named = self._compare_named_value(gold_text, given_text, gold, given)
        if named is not None:
            return named
        if isinstance(gold, Single) and isinstance(given, Single):
            return self._compare_values(gold.text, given.text)
        regions = as_region(gold), as_region(given)
        if regions[0] is not None and regions[1] is not None and _is_region(gold, given):
            return self._compare_regions(regions[0], regions[1])
        match gold, given:
            case Several(), Several():
                return self._compare_several(gold, given)
            case Matrix(), Matrix():
                return self._compare_matrices(gold, given)
            case Relation(), Relation():
                return self._compare_relations(gold, given)
        return self._compare_unlike_shapes(gold, given, gold_text, given_text)

    def _compare_unlike_shapes(self, gold: Shape, given: Shape, gold_text: str, given_text: str) -> Finding:
        """A vector for a tuple, two numbers for one with a comma, a set of one for its element."""
        match gold, given:
            case (Matrix(), Several(Grouping.TUPLE | Grouping.LIST)):
                return self._compare_vector(gold, given.parts)
            case (Several(Grouping.TUPLE | Grouping.LIST), Matrix()):
                return self._compare_vector(given, gold.parts)
            case (Several(_, (only,)), Single(value)) | (Single(only), Several(_, (value,))):
                return self._compare_part(only, value)
            case (Single(), Several(Grouping.LIST)) if (split := list_reading(gold_text)) is not None:
                return self._compare_unordered(split.parts, given.parts)
            case (Several(Grouping.LIST), Single()) if (split := list_reading(given_text)) is not None:
                return self._compare_unordered(gold.parts, split.parts)
        if isinstance(gold, Single) and isinstance(given, Single | Several | Region):
            return DIFFERENT if _is_readable(gold.text) else self._compare_in_worker(gold_text, given_text)
        return DIFFERENT

    def _compare_named_value(
        self, gold: str, given: str, gold_shape: Shape, given_shape: Shape
    ) -> Finding | None:
        """Compare a value with `x = value` or with a chain such as `2 + 3 = 5`; None where neither side is one."""
        match gold_shape, given_shape:
            case (Relation(), Relation()):
                return None
            case (Relation(), _):
                found = [self._compare_part(value, given) for value in self._values_of(gold_shape)]
            case (_, Relation()):
                found = [self._compare_part(gold, value) for value in self._values_of(given_shape)[-1:]]
            case _:
                return None
        right = [one for one in found if one.outcome == Outcome.VERIFIED]
        best = (right or found or [DIFFERENT])[0]
        return accepted(Rule.NAMED_VALUE) if best.rule in (Rule.EXACT, Rule.NUMERIC) else best

    def _values_of(self, relation: Relation) -> list[str]:
        """The sides that say the value of a chain of equal sides, without a name at an end of it.

        Empty for an inequality, for a chain of more than ten sides, and for an equation in which two sides differ.
        """
        if len(relation.sides) > _MAX_SIDES or not set(relation.signs) <= {"=", "\\approx"}:
            return []
        sides, signs = list(relation.sides), list(relation.signs)
        for end in (0, -1):
            if _NAME.fullmatch(sides[end]):
                del sides[end], signs[end]
                break
        for (one, other), sign in zip(pairwise(sides), signs, strict=True):
            if sign == "=" and self._compare_part(one, other).outcome == Outcome.REFUTED:
                return []
        # What stands behind a sign of approximation is the less exact value.
        return sides[: signs.index("\\approx") + 1] if "\\approx" in signs else sides

    def _compare_several(self, gold: Several, given: Several) -> Finding:
        unordered = (Grouping.LIST, Grouping.SET)
        if gold.grouping in unordered and given.grouping in unordered:
            return self._compare_unordered(gold.parts, given.parts)
        if Grouping.SET in (gold.grouping, given.grouping):
            return DIFFERENT
        return self._compare_ordered(gold.parts, given.parts, Rule.TUPLE)

    def _compare_ordered(self, golds: Sequence[str], givens: Sequence[str], rule: Rule) -> Finding:
        if len(golds) != len(givens):
            return DIFFERENT
        return joined(
            (self._compare_part(gold, given) for gold, given in zip(golds, givens, strict=True)), rule
        )

    def _compare_unordered(self, golds: Sequence[str], givens: Sequence[str]) -> Finding:
        """Find an equal element for each, first those that are spelled alike or are the same number."""
        first, second = unlike(flattened(golds), flattened(givens))
        if len(first) != len(second):
            return DIFFERENT
        if len(first) > _MAX_UNLIKE_ELEMENTS:
            detail = f"{len(first)} elements differ in spelling; at most {_MAX_UNLIKE_ELEMENTS} are compared"
            return Finding(Outcome.FAILED, None, "math_too_large", detail)
        broken: Finding | None = None
        for gold in first:
            findings = []
            for given in second:
                findings.append(self._compare_part(gold, given))
                if findings[-1].outcome == Outcome.VERIFIED:
                    second.remove(given)
                    break
            else:
                undecided = [found for found in findings if found.outcome != Outcome.REFUTED]
                if not undecided:
                    return DIFFERENT
                broken = undecided[0]
        return broken or accepted(Rule.LIST)

    def _compare_matrices(self, gold: Matrix, given: Matrix) -> Finding:
        if [len(row) for row in gold.rows] != [len(row) for row in given.rows]:
            return DIFFERENT
        return self._compare_ordered(
            [entry for row in gold.rows for entry in row],
            [entry for row in given.rows for entry in row],
            Rule.VECTOR,
        )

    def _compare_vector(self, matrix: Matrix, parts: Sequence[str]) -> Finding:
        entries = [entry for row in matrix.rows for entry in row]
        if len(matrix.rows) > 1 and any(len(row) > 1 for row in matrix.rows):
            return DIFFERENT
        return self._compare_ordered(entries, parts, Rule.VECTOR)

    def _compare_regions(self, gold: Region, given: Region) -> Finding:
        if gold.variable and given.variable and gold.variable != given.variable:
            return DIFFERENT
        if len(gold.pieces) != len(given.pieces):
            return DIFFERENT
        left = list(given.pieces)
        for piece in gold.pieces:
            findings = [self._compare_intervals(piece, other) for other in left]
            same = next((i for i, found in enumerate(findings) if found.outcome == Outcome.VERIFIED), None)
            if same is None:
                return next((found for found in findings if found.outcome != Outcome.REFUTED), DIFFERENT)
            del left[same]
        return accepted(Rule.INTERVAL)

    def _compare_intervals(self, gold: Interval, given: Interval) -> Finding:
        if (gold.low_closed, gold.high_closed) != (given.low_closed, given.high_closed):
            return DIFFERENT
        return self._compare_ordered((gold.low, gold.high), (given.low, given.high), Rule.INTERVAL)

    def _compare_relations(self, gold: Relation, given: Relation) -> Finding:
        if len(gold.sides) != 2 or len(given.sides) != 2 or "\\approx" in gold.signs:
            same_form = gold.signs == given.signs
            return self._compare_ordered(gold.sides, given.sides, Rule.EQUATION) if same_form else DIFFERENT
        golds, givens = _oriented(gold), _oriented(given)
        if golds[0] != givens[0]:
            return DIFFERENT
        compare = compare_equations if golds[0] in ("=", "\u2260") else compare_inequalities
        try:
            found = compare(_sides(golds[1]), _sides(givens[1]))
        except (UnreadableError, NotExactError):
            found = Agreement.UNDECIDED
        if found == Agreement.UNDECIDED:
            return self._compare_in_worker(_relation_text(gold), _relation_text(given))
        return accepted(Rule.EQUATION) if found == Agreement.SAME else DIFFERENT

    def _compare_values(self, gold: str, given: str) -> Finding:
        """Compare two formulas, each with a unit or without."""
        (gold, gold_unit), (given, given_unit) = (
            split_unit(in_base_ten(gold)),
            split_unit(in_base_ten(given)),
        )
        if not units_agree(gold_unit, given_unit):
            return DIFFERENT
        if gold_unit or given_unit:
            found = self._compare_part(gold, given)
            return accepted(Rule.UNIT) if found.outcome == Outcome.VERIFIED else found
        try:
            first, second = read_expression(gold), read_expression(given)
            found_exactly = compare_exactly(first, second)
        except (UnreadableError, NotExactError):
            return self._compare_in_worker(gold, given)
        if found_exactly == Agreement.SAME:
            return accepted(Rule.ALGEBRAIC)
        if _is_rounded(gold, given, first, second):
            return accepted(Rule.ROUNDED)
        return DIFFERENT if found_exactly == Agreement.DIFFERENT else self._compare_in_worker(gold, given)

    def _compare_in_worker(self, gold: str, given: str) -> Finding:
        too_large = _size_problem(gold, given)
        worker = shared_worker()
        started = time.monotonic()
        worker.start()
        self._deadline += time.monotonic() - started
        left = self._deadline - time.monotonic()
        if left <= 0:
            return self._out_of_time()
        views = worker.compare(gold, given, left, with_library=too_large is None)
        if views.result == WorkerResult.TIMEOUT:
            return self._out_of_time()
        if views.result == WorkerResult.COMPARED and too_large and views.numeric == Agreement.UNDECIDED:
            return Finding(Outcome.FAILED, None, "math_too_large", too_large)
        return weighed(views)

    def _out_of_time(self) -> Finding:
        return Finding(Outcome.FAILED, None, "math_timeout", f"no result in {self._seconds:g} s")


def _size_problem(gold: str, given: str) -> str | None:
    """Why two texts are not given to the library; None where they are."""
    for text, whose in ((given, "answer"), (gold, "reference")):
        problem = size_problem(text)
        if problem is not None:
            return f"in the {whose}, {problem}"
    return None


def _compare_based(
    gold: str, given: str, first: PlainNumber | None, second: PlainNumber | None
) -> Finding | None:
    """Compare two numbers of which one is written with its base, such as 204_5; None for all else."""
    based = BASED_NUMBER.match(gold), BASED_NUMBER.match(given)
    if based[0] is None and based[1] is None:
        return None
    if (based[0] is None and first is None) or (based[1] is None and second is None):
        return None
    values = [
        based_value(found) if found is not None else (plain.value if plain is not None else None)
        for found, plain in zip(based, (first, second), strict=True)
    ]
    if values[0] is None:
        return Finding(Outcome.FAILED, None, "math_reference_unreadable", "no number of the base it names")
    return accepted(Rule.BASE) if values[0] == values[1] else DIFFERENT


def _is_region(gold: Shape, given: Shape) -> bool:
    """Whether one of two shapes is surely an interval: `(1,2)` alone is rather a point."""
    if isinstance(gold, Region) or isinstance(given, Region):
        return True
    groupings = {shape.grouping for shape in (gold, given) if isinstance(shape, Several)}
    return groupings == {Grouping.TUPLE, Grouping.SQUARE}


def _oriented(relation: Relation) -> tuple[str, tuple[str, str]]:
    """An equation or inequality of two sides, with the smaller side first."""
    (sign,), (left, right) = relation.signs, relation.sides
    if sign in (">", "\u2265"):
        return {">": "<", "\u2265": "\u2264"}[sign], (right, left)
    return sign, (left, right)


def _sides(sides: tuple[str, str]) -> tuple[Expression, Expression]:
    return read_expression(sides[0]), read_expression(sides[1])


def _relation_text(relation: Relation) -> str:
    parts = [relation.sides[0]]
    for sign, side in zip(relation.signs, relation.sides[1:], strict=True):
        parts += [sign, side]
    return " ".join(parts)


def _is_readable(text: str) -> bool:
    try:
        read_expression(text)
    except UnreadableError:
        return False
    return True


def _is_rounded(gold: str, given: str, first: Expression, second: Expression) -> bool:
    gold_number, given_number = read_number(gold), read_number(given)
    return (given_number is not None and is_rounded(given_number, first)) or (
        gold_number is not None and is_rounded(gold_number, second)
    )
