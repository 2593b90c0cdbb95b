"""Where the final answer is found."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.verifiers.extraction import (
    AnswerForm,
    Extraction,
    announced_answer,
    boxed_answers,
    extract_answer,
    text_after_thought,
)


@pytest.mark.parametrize(
    ("text", "answer", "form"),
    [
        (r"So $\boxed{42}$.", "42", AnswerForm.BOXED),
        (r"\boxed{\frac{1}{2}} is it", r"\frac{1}{2}", AnswerForm.BOXED),
        (r"\boxed{5} wait \boxed{7}", "7", AnswerForm.BOXED),
        (r"\boxed{5}, \boxed{5}", "5", AnswerForm.BOXED),
        (r"\boxed 7", "7", AnswerForm.BOXED),
        ("The answer is $\\frac{1}{2}$ cup.", "\\frac{1}{2} cup", AnswerForm.PHRASE),
        ("Answer: (B) 5", "(B) 5", AnswerForm.PHRASE),
        ("Hence **x = 5**.", "x = 5", AnswerForm.BOLD),
        ("Hence\n\\[\nx = 5\n\\]", "x = 5", AnswerForm.FORMULA),
        ("\\frac{1}{2}", "\\frac{1}{2}", AnswerForm.WHOLE_TEXT),
        ("steps\n#### 1,234", "1,234", AnswerForm.HASH),
        ("The answer is 5.5. Thanks", "5.5", AnswerForm.PHRASE),
        ("**Answer:** 12 apples", "12 apples", AnswerForm.PHRASE),
        ("2+2=4\nA: 4", "4", AnswerForm.PHRASE),
        ("There are 3 dogs and 4 cats", "4", AnswerForm.LAST_NUMBER),
        ("It costs $1,250.50 in all.", "$1,250.50", AnswerForm.LAST_NUMBER),
    ],
)
def test_the_last_answer_of_the_surest_form_is_taken(text: str, answer: str, form: AnswerForm) -> None:
    assert extract_answer(text) == Extraction(answer, form)


def test_a_text_without_a_number_or_a_form_has_no_answer() -> None:
    assert extract_answer("I do not know.") is None
    assert announced_answer("There are 4 cats") is None


def test_an_unclosed_box_is_no_answer() -> None:
    assert boxed_answers(r"\boxed{5") == []
    assert boxed_answers(r"\boxed{ \boxed{7}") == ["7"]


def test_the_thought_is_left_behind() -> None:
    assert text_after_thought("<think>5</think> 6") == " 6"
    assert text_after_thought("6") == "6"


MEGABYTES = {
    "open boxes": r"\boxed{" * 150_000,
    "one closed of many boxes": r"\boxed{" * 150_000 + "}",
    "joined boxes": r"\boxed{1}," * 100_000,
    "open braces": "{" * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "blanks behind a phrase": "answer:" + " " * 1_000_000,
    "blanks on two lines": "A:" + " " * 500_000 + "\n" + " " * 500_000,
    "a hash line": "#### " + "a " * 500_000,
    "stars": "answer" + "*" * 1_000_000,
    "dollars": "$" * 1_000_000,
    "open formulas": r"\(" * 500_000,
    "open displays": r"\[" * 500_000 + r"\)",
    "phrases": "answer is " * 100_000,
    "bold": "**a" * 300_000,
    "commas": "1," * 500_000,
    "digits": "7" * 1_000_000,
    "lines": "A:\n" * 300_000,
}


MEGABYTES = {
    "open boxes": r"\boxed{" * 150_000,
    "one closed of many boxes": r"\boxed{" * 150_000 + "}",
    "joined boxes": r"\boxed{1}," * 100_000,
    "open braces": "{" * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "blanks behind a phrase": "answer:" + " " * 1_000_000,
    "blanks on two lines": "A:" + " " * 500_000 + "\n" + " " * 500_000,
    "a hash line": "#### " + "a " * 500_000,
    "stars": "answer" + "*" * 1_000_000,
    "dollars": "$" * 1_000_000,
    "open formulas": r"\(" * 500_000,
    "open displays": r"\[" * 500_000 + r"\)",
    "phrases": "answer is " * 100_000,
    "bold": "**a" * 300_000,
    "commas": "1," * 500_000,
    "digits": "7" * 1_000_000,
    "lines": "A:\n" * 300_000,
}


@pytest.mark.parametrize("text", MEGABYTES.values(), ids=MEGABYTES)
def test_a_megabyte_of_anything_is_read_in_good_time(text: str) -> None:
    started = time.perf_counter()
    extract_answer(text)

    assert time.perf_counter() - started < 2


def test_boxes_that_only_a_comma_or_a_word_joins_are_one_answer() -> None:
    assert extract_answer(r"$\boxed{5}$ and $\boxed{7}$") == Extraction(
        "5, 7", AnswerForm.BOXED, boxes=("5", "7")
    )


def test_an_announcement_behind_a_box_is_told() -> None:
    assert extract_answer("\\boxed{5}\nThe answer is 7.") == Extraction("5", AnswerForm.BOXED, "7")


@given(st.text(alphabet="ab1{}\\", max_size=40))
def test_a_boxed_answer_is_found_whatever_stands_before_it(before: str) -> None:
    if "\\boxed" not in before and not before.endswith("\\"):
        assert boxed_answers(before + r"\boxed{42}")[-1] == "42"
