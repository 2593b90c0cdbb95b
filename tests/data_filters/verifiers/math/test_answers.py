"""Right answers are verified by a named rule, wrong ones refuted, and what could not be checked is neither."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.samples import Check, MathTask, Outcome
from data_filters.settings import VerifySettings
from data_filters.verifiers.math import answers as math_check
from data_filters.verifiers.math import pool as math_pool

SETTINGS = VerifySettings()


@pytest.fixture(autouse=True, scope="module")
def _worker() -> Iterator[None]:
    math_pool.shared_worker().start()
    yield
    math_pool.close()


def compare(gold: str, answer: str) -> Check:
    return math_check.compare(gold, answer, SETTINGS)


def reason(gold: str, answer: str) -> str:
    return compare(gold, answer).reason


def check(content: str, gold: str = "42", thought: str | None = None, form: str | None = None) -> Check:
    return math_check.check(MathTask(gold, format=form), content, thought, SETTINGS)


@pytest.mark.parametrize(
    ("gold", "answer", "rule"),
    [
        ("72", "72", "exact"),
        ("\\left(1,2\\right)", "(1, 2)", "exact"),
        ("72", "72.", "numeric"),
        ("1000", "1,000", "numeric"),
        ("5,\\!040", "5040", "numeric"),
        ("1,\\!000,\\!000", "1{,}000{,}000", "exact"),
        ("\\frac{3}{4}", "0.75", "numeric"),
        ("2.5", "2 1/2", "numeric"),
        ("-0", "0", "numeric"),
        ("5", "\uff15", "numeric"),
        ("0.5", "\u00bd", "numeric"),
        ("14 \\text{ right triangles}", "14 triangles", "numeric"),
        ("40", "40.0\\%", "percent"),
        ("0.4", "40\\%", "percent"),
        ("1/3", "0.333333", "rounded"),
        ("\\sqrt2", "1.414214", "rounded"),
        ("9\\pi", "28.274333", "rounded"),
        ("5 cm", "5", "unit"),
        ("5 cm", "50 mm", "unit"),
        ("5.4 \\text{ cents}", "\\$0.054", "unit"),
        ("90^\\circ", "90", "unit"),
        ("480 + 480\\sqrt{3}\\text{ feet}", "480(1+\\sqrt3)", "unit"),
        ("101_2", "5", "base"),
        ("Evelyn", "\\text{evelyn}", "text"),
        ("\\text{four}", "4", "text"),
        ("\\emptyset", "no solution", "text"),
        ("A", "(A)", "choice"),
        ("A", "A) 5", "choice"),
        ("\\text{(P)}", "P", "choice"),
        ("8\\!:\\!34 \\text{ p.m.}", "8:34 PM", "ratio"),
        ("2\\sqrt{3}", "\\sqrt{12}", "algebraic"),
        ("x^2+2x+1", "(x+1)^2", "algebraic"),
        ("\\frac{1}{\\sqrt2+1}", "\\sqrt2-1", "algebraic"),
        ("1000000!", "999999! \\cdot 1000000", "algebraic"),
        ("25", "5\u00b2", "algebraic"),
        ("600, 15", "15, 600", "list"),
        ("15,600", "600, 15", "list"),
        ("\\{1\\pm\\sqrt{5},-2\\}", "-2, 1-\\sqrt5, 1+\\sqrt5", "list"),
        ("(-4, 27);(2, 15)", "(2,15), (-4,27)", "list"),
        ("\\text{A, D, F}", "F, A, D", "list"),
        ("(\\frac12, 3)", "(0.5, 3)", "tuple"),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "(1,2)", "vector"),
        ("\\begin{pmatrix} 1/2 & 0 \\end{pmatrix}", "\\begin{bmatrix} 0.5 & 0 \\end{bmatrix}", "vector"),
        ("(3,\\infty)", "x>3", "interval"),
        ("x>3", "(3,\\infty)", "interval"),
        ("(1,2)", "1<x<2", "interval"),
        ("(-\\infty,-2]\\cup[5,\\infty)", "x\\le -2 \\text{ or } x\\ge 5", "interval"),
        ("(-\\infty,5)\\cup(5,\\infty)", "x \\ne 5", "interval"),
        ("[1,2]", "x \\in [1,2]", "interval"),
        ("2x+4y=6", "x+2y=3", "equation"),
        ("s^2 \\le 8r^2", "8r^2 \\ge s^2", "equation"),
        ("x=5", "5", "named_value"),
        ("5", "x = 2+3 = 5", "named_value"),
        ("5", "2+3 = 5 = x", "named_value"),
        ("0.56 = 56\\%", "0.56", "named_value"),
        ("\\$\\dfrac23 \\approx \\$0.67", "\\frac{2}{3}", "unit"),
        ("AB=9, CD=4", "9, 4", "list"),
        ("\\ln 8", "3\\ln 2", "symbolic"),
        ("\\sin 2x", "2\\sin x\\cos x", "symbolic"),
    ],
)
def test_an_answer_is_accepted_by_the_cheapest_rule_that_suffices(gold: str, answer: str, rule: str) -> None:
    assert compare(gold, answer) == Check("task", Outcome.VERIFIED, f"math_correct_{rule}")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("72", "71"),
        ("Evelyn", "Anna"),
        ("1-\\frac{1}{\\mathrm{e}}", "1+\\frac{1}{\\mathrm{e}}"),
        ("1/2^99", "1/2^98"),
        ("1/2^99", "0.000000"),
        ("1/2004!", "1/2006!"),
        ("1/2004!", "1/4004!"),
        ("1/2004!", "-1/2004!"),
        ("204_5", "204_2"),
        ("4210_{5}", "4210_{7}"),
        ("-221_3", "-221_9"),
        ("\\frac \\pi4+2-\\sqrt2", "\\frac \\pi4+2-\\sqrt5"),
        ("\\frac \\pi4+2-\\sqrt2", "-\\frac \\pi4+2-\\sqrt2"),
        ("3*x-1*y+13=0", "3x + 4y + 14=0"),
        ("4", "4t"),
        ("4", "4 t"),
        ("4", "4\\sqrt(2)"),
        ("5 cm", "5 m"),
        ("5 m", "5 \\text{ grams}"),
        ("864 \\mbox{ inches}^2", "864 inches"),
        ("5", "1=2=3=4=5"),
        ("1/3", "33.3\\%"),
        ("1/3", "0.333"),
        ("\\sqrt2", "1.4142"),
        ("1.234567", "1.234568"),
        ("x+y+z=0", "0"),
        ("s^2 \\le 8r^2", "8r^2 \\le s^2"),
        ("8\\!:\\!34 \\text{ p.m.}", "8:34 a.m."),
        ("(1,2)", "(2,1)"),
        ("(1,2)", "\\{1,2\\}"),
        ("[1,2]", "(1,2)"),
        ("1, 2", "1, 2, 2"),
        ("x^2+1", "X^2+1"),
        ("\\begin{pmatrix} 4 \\\\ 0 \\end{pmatrix}", "\\begin{pmatrix} 5 \\\\ 0 \\end{pmatrix}"),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}"),
        ("\\ln 8", "3\\ln 3"),
        ("2", "2ab"),
        ("A", "B) 5"),
    ],
)
def test_an_answer_that_only_looks_alike_is_refuted(gold: str, answer: str) -> None:
    assert (compare(gold, answer).outcome, reason(gold, answer)) == (Outcome.REFUTED, "math_wrong_answer")


def test_two_comparators_that_disagree_leave_the_answer_unverified_with_both_views() -> None:
    found = compare("e^{i\\pi}", "-1")

    assert (found.outcome, found.reason) == (Outcome.UNVERIFIED, "math_comparators_disagree")
    assert "math-verify: different" in found.detail
    assert "evaluation at points: same" in found.detail


def test_numbers_too_large_for_thirty_digits_are_not_taken_for_equal() -> None:
    assert compare("(2+\\sqrt{3})^{5000}", "(2+\\sqrt{3})^{5000}+1").outcome == Outcome.FAILED


HOSTILE = {
    "tower": "9^9^9^9",
    "braced tower": "10^{10^{10}}",
    "stars": "10**10000000000",
    "factorial": "100000000!",
    "factorial of a power": "(10^9)!",
    "power of a power": "2^{(10^9)}",
    "binomial": "\\binom{1000000000}{500000000}",
    "sum": "\\sum_{k=1}^{1000000000} k",
    "product": "\\prod_{k=1}^{100000000} k",
    "floor of a tower": "\\lfloor 9^{9^{9}} \\rfloor",
    "remainder of a tower": "9^{9^9} \\mod 7",
    "large expansion": "(x+y+z+1)^{200}",
    "nested expansion": "((x+1)^{99}+y)^{99}",
    "gcd": "\\gcd(10^{10^8},3)",
    "fractions": "\\frac{1}{" * 2000 + "2" + "}" * 2000,
    "parentheses": "(" * 3000 + "x" + ")" * 3000,
    "short parentheses": "(" * 900 + "x" + ")" * 900,
    "roots": "\\sqrt{" * 200 + "2" + "}" * 200,
    "sines": "\\sin(" * 30 + "x" + ")" * 30,
    "a megabyte of boxes": "\\boxed{" * 150_000,
    "a megabyte of digits": "7" * 1_000_000,
    "a set of 5,000": "\\{" + ",".join(map(str, range(5000))) + "\\}",
    "many roots": ",".join(f"\\sqrt{{{n}}}+x" for n in range(90)),
    "decimals": "0." + "3" * 100_000,
    "exponent": "1e999999999",
    "NUL": "5\0",
    "lone surrogate": "x\ud800y",
    "unclosed box": "\\boxed{5",
    "unclosed braces": "{" * 1900,
    "unclosed text": "\\text{" * 300,
    "dollars": "$" * 1900,
    "equals signs": "1=" * 900 + "1",
    "less than": "x<" * 600 + "x",
    "plus or minus": "1" + "\\pm 1" * 300,
    "signs": "+-" * 900 + "5",
    "bars": "|" * 1500,
    "exclamation marks": "5" + "!" * 1900,
    "many words": "aa " * 600 + "1",
    "unions": "[1,2]" + "\\cup[1,2]" * 150,
    "letters that grow": "\ufdfa" * 1900,
    "colons": ":".join("1" * 900),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_never_verified_takes_no_second_and_leaves_the_pool_serving(answer: str) -> None:
    started = time.perf_counter()
    found = check(f"So $\\boxed{{{answer}}}$.", "x+5")
    seconds = time.perf_counter() - started

    assert found.outcome in (Outcome.FAILED, Outcome.REFUTED)
    assert seconds <= 1
    assert reason("\\ln 8", "3\\ln 2") == "math_correct_symbolic"


@pytest.mark.parametrize(
    "gold", ["9^9^9^9", "(10^9)!", "(" * 900 + "x" + ")" * 900, "{" * 1900, "5" + "!" * 1900]
)
def test_a_hostile_reference_failed_and_refutes_nothing(gold: str) -> None:
    assert compare(gold, "\\sqrt{5}").outcome == Outcome.FAILED


@given(st.text(max_size=80), st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_text_raises(gold: str, answer: str) -> None:
    assert isinstance(compare(gold, answer), Check)


@given(st.text(alphabet="0123456789xyi+-*/^_(){}[],.\\ =<>!|%$", max_size=24))
@settings(max_examples=150, deadline=None)
def test_every_answer_that_is_spelled_like_its_reference_is_verified(answer: str) -> None:
    assert compare(answer, answer).outcome == Outcome.VERIFIED


@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=999), st.integers(1, 9))
@settings(deadline=None)
def test_a_fraction_equals_its_multiple_and_no_other(value: object, factor: int) -> None:
    top, bottom = value.as_integer_ratio()  # type: ignore[attr-defined]  # hypothesis promises only an object
    gold = f"\\frac{{{top}}}{{{bottom}}}"

    assert compare(gold, f"{top * factor}/{bottom * factor}").outcome == Outcome.VERIFIED
    assert compare(gold, f"{top * factor + 1}/{bottom * factor}").outcome == Outcome.REFUTED


@pytest.mark.parametrize(
    ("content", "gold", "expected"),
    [
        ("So $\\boxed{42}$.", "42", "math_correct_exact"),
        ("It is \\boxed{5}, wait, \\boxed{7}.", "7", "math_correct_exact"),
        ("It is \\boxed{5}, wait, \\boxed{7}.", "5", "math_wrong_answer"),
        ("$x = \\boxed{3}$ or $\\boxed{5}$", "5, 3", "math_correct_list"),
        (
            "\\boxed{15\\frac{39}{40}}, or \\boxed{\\frac{639}{40}} inches.",
            "\\frac{639}{40}",
            "math_correct_exact",
        ),
        ("\\boxed{44}. We check our answer: $17\\cdot 44 = 748$", "44", "math_correct_exact"),
        ("\\boxed{3} and \\boxed{5}", "5, 3", "math_correct_list"),
        ("\\boxed{5} or \\boxed{7}", "7", "math_wrong_answer"),
        ("#### 1,234", "1234", "math_correct_numeric"),
        ("The answer is $\\frac{1}{2}$ cup.", "1/2", "math_correct_unit"),
        ("Answer: (B)", "B", "math_correct_choice"),
        ("So it is\n\n**\\frac{3}{4}**", "0.75", "math_correct_numeric"),
        ("Hence \\[\nx = 3\\sqrt{2}\n\\]", "\\sqrt{18}", "math_correct_algebraic"),
        ("\\frac{3}{4}", "0.75", "math_correct_numeric"),
        ("I do not know.", "42", "math_no_answer"),
    ],
)
def test_the_answer_is_found_in_the_text_and_compared(content: str, gold: str, expected: str) -> None:
    assert check(content, gold).reason == expected


def test_an_answer_that_stands_only_in_the_thought_is_named_so() -> None:
    found = check("I have worked it out.", thought="So \\boxed{42}.")

    assert (found.outcome, found.reason) == (Outcome.REFUTED, "math_answer_only_in_thought")


def test_a_number_in_passing_is_no_answer_where_a_form_was_asked_and_the_thought_has_it() -> None:
    found = check("It took 3 steps.", thought="So \\boxed{42}.", form="boxed")

    assert found.reason == "math_answer_only_in_thought"


@pytest.mark.parametrize("content", ["\\boxed{42}\nThe answer is 41.", "\\boxed{41}\n#### 42"])
def test_a_box_and_a_later_announcement_that_differ_leave_the_row_unverified(content: str) -> None:
    found = check(content)

    assert (found.outcome, found.reason) == (Outcome.UNVERIFIED, "math_comparators_disagree")


def test_a_box_and_a_later_announcement_that_agree_are_verified() -> None:
    assert check("\\boxed{42}\nThe answer is 42.").outcome == Outcome.VERIFIED
