"""Where the final answer is found."""

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


def test_a_megabyte_of_open_boxes_is_read_in_good_time() -> None:
    assert boxed_answers(r"\boxed{" * 150_000) == []


@given(st.text(alphabet="ab1{}\\", max_size=40))
def test_a_boxed_answer_is_found_whatever_stands_before_it(before: str) -> None:
    if "\\boxed" not in before and not before.endswith("\\"):
        assert boxed_answers(before + r"\boxed{42}")[-1] == "42"
