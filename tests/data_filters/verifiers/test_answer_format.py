"""An answer has the asked form once, or it is said how not; no pattern and no text takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import AnswerFormatTask, Outcome
from data_filters.verifiers.answer_format import NAMED_FORMATS, check, check_named, choice_answers


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("boxed", r"It is \boxed{4}.", "format_kept"),
        ("boxed", "It is 4.", "format_broken"),
        ("boxed", r"It is \boxed{4.", "format_broken"),
        ("boxed", r"It is \boxed{ }.", "format_broken"),
        ("boxed", r"\boxed{4} or \boxed{5}", "format_repeated"),
        ("hash", "Two and two.\n#### 4", "format_kept"),
        ("hash", "4", "format_broken"),
        ("hash", "#### 4\n#### 4", "format_repeated"),
        ("answer_tags", "So <answer>4</answer>.", "format_kept"),
        ("answer_tags", "<answer>4", "format_broken"),
        ("answer_tags", "4</answer>", "format_broken"),
        ("answer_tags", "<answer> </answer>", "format_broken"),
        ("answer_tags", "<answer>4</answer> <answer>5</answer>", "format_repeated"),
        ("choice", "B", "format_kept"),
        ("choice", "(B)", "format_kept"),
        ("choice", "**B.**", "format_kept"),
        ("choice", "The answer is (C), since A and B are too small.", "format_kept"),
        ("choice", r"$\boxed{\text{D}}$", "format_kept"),
        ("choice", "Answer: A\nOr rather: Answer: B", "format_repeated"),
        ("choice", "The answer is apples.", "format_broken"),
        ("choice", "It is a good one.", "format_broken"),
        ("json", '{"answer": 4}', "format_kept"),
        ("json", 'Here:\n```json\n{"answer": 4}\n```', "format_kept"),
        ("json", "answer: 4", "format_broken"),
        ("json", '{"a": 1, "a": 2}', "format_broken"),
        ("json", "[" * 5000, "format_too_deep"),
        ("json_bare", '{"answer": 4}', "format_kept"),
        ("json_bare", '```json\n{"answer": 4}\n```', "format_broken"),
        ("json_block", '{"answer": 4}', "format_broken"),
        ("json_block", 'Here:\n```json\n{"answer": 4}\n```', "format_kept"),
        ("json_block", "```\n1\n```\n```\n2\n```", "format_repeated"),
    ],
)
def test_an_answer_is_judged_by_its_named_form(form: str, text: str, reason: str) -> None:
    assert check(AnswerFormatTask(format=form), text).reason == reason


@pytest.mark.parametrize(
    ("pattern", "text", "reason"),
    [
        (r"^<answer>.*</answer>$", "<answer>4</answer>", "format_kept"),
        (r"^<answer>.*</answer>$", "4", "format_broken"),
        (r"\b[ABCD]\b", "B", "format_kept"),
        (r"\b[ABCD]\b", "B or C", "format_repeated"),
        (r"x*", "yyy", "format_kept"),
        (r"(?i)final answer: \d+", "Final Answer: 7", "format_kept"),
        (r"é", "caf\u00e9", "format_kept"),
        (r"b", "\ud800b", "format_kept"),
    ],
)
def test_an_answer_is_judged_by_a_pattern_that_matches_once(pattern: str, text: str, reason: str) -> None:
    assert check(AnswerFormatTask(pattern=pattern), text).reason == reason


@pytest.mark.parametrize(
    "task",
    [
        AnswerFormatTask(format="sonnet"),
        AnswerFormatTask(),
        AnswerFormatTask(pattern="("),
        AnswerFormatTask(pattern="(?=a)b"),
        AnswerFormatTask(pattern=r"(a)\1"),
        AnswerFormatTask(pattern="(a{1000}){1000}"),
        AnswerFormatTask(pattern="\ud800"),
    ],
)
def test_a_form_that_cannot_be_looked_for_failed_and_refutes_nothing(task: AnswerFormatTask) -> None:
    found = check(task, "4")

    assert (found.outcome, found.reason) == (Outcome.FAILED, "format_not_usable")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)*b", "(.*)*x", "(a*)*(a*)*(a*)*b"])
def test_a_pattern_that_backtracks_elsewhere_takes_linear_time(pattern: str) -> None:
    started = time.process_time()

    check(AnswerFormatTask(pattern=pattern), "a" * 200_000 + "!")

    assert time.process_time() - started < 1


@pytest.mark.parametrize("form", NAMED_FORMATS)
@pytest.mark.parametrize(
    "unit", ["<answer>", "</answer>", r"\boxed{", "```json\n", "#### \n", "answer ", "[", " ", "\x00"]
)
def test_a_megabyte_of_openings_is_answered_at_once(form: str, unit: str) -> None:
    started = time.process_time()

    check_named(form, unit * (1_000_000 // len(unit)))

    assert time.process_time() - started < 1.5


@given(
    st.sampled_from(NAMED_FORMATS), st.text(alphabet='<answer>/ABj\\boxed{}`#\n 12(){}[]",:', max_size=100)
)
def test_any_text_is_judged_without_an_error(form: str, text: str) -> None:
    assert check_named(form, text).outcome in Outcome


@given(
    st.sampled_from("ABCDEFGHIJ"),
    st.sampled_from(["{}", "({})", "Answer: {}", "The answer is **{}**.", "\\boxed{{{}}}"]),
)
def test_a_letter_is_found_in_each_way_to_say_it(letter: str, way: str) -> None:
    assert choice_answers(way.format(letter)) == [letter]
