"""Each instruction is kept or broken as IFEval means it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Constraint, InstructionsTask, Outcome
from data_filters.verifiers.instructions import KNOWN_IDS, NotUsableError, check, keeps


@pytest.mark.parametrize(
    ("name", "arguments", "kept", "broken"),
    [
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": "at least"},
            "one two three",
            "one two",
        ),
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": "less than"},
            "one two",
            "one two three",
        ),
        ("change_case:english_lowercase", {}, "all is low.", "All is low."),
        ("change_case:english_capital", {}, "ALL IS HIGH!", "ALL is HIGH!"),
        ("punctuation:no_comma", {}, "One and two.", "One, two."),
        ("startend:end_checker", {"end_phrase": "The end."}, "So it was. the end. ", "The end. Or not?"),
        ("startend:quotation", {}, ' "Quoted." ', '"Quoted.'),
        ("keywords:existence", {"keywords": ["sun", "moon"]}, "Sunny moonlight", "Only the sun"),
        ("keywords:forbidden_words", {"forbidden_words": ["sun"]}, "Sunny days", "The SUN."),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a"),
        ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
        ("detectable_format:title", {}, "<<Dawn>>\nIt was early.", "<< >>\nIt was early."),
    ],
)
def test_a_constraint_is_kept_by_one_text_and_broken_by_another(
    name: str, arguments: dict[str, Any], kept: str, broken: str
) -> None:
    constraint = Constraint(name, arguments)

    assert keeps(constraint, kept)
    assert not keeps(constraint, broken)


def test_the_first_broken_constraint_is_named() -> None:
    task = InstructionsTask([Constraint("punctuation:no_comma"), Constraint("change_case:english_lowercase")])

    assert check(task, "low and plain").reason == "instructions_kept"
    assert check(task, "low, and plain").reason == "instruction_broken:punctuation:no_comma"
    assert check(task, "High and plain").reason == "instruction_broken:change_case:english_lowercase"


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        ([Constraint("language:klingon")], "instruction_unknown_id"),
        ([Constraint("keywords:existence", {})], "instruction_bad_arguments"),
        ([Constraint("keywords:existence", {"keywords": "sun"})], "instruction_bad_arguments"),
        (
            [Constraint("length_constraints:number_words", {"num_words": 3, "relation": "about"})],
            "instruction_bad_arguments",
        ),
        ([], "instruction_bad_arguments"),
    ],
)
def test_a_task_that_cannot_be_checked_failed_and_refutes_nothing(
    constraints: list[Constraint], reason: str
) -> None:
    found = check(InstructionsTask(constraints), "any text")

    assert (found.outcome, found.reason) == (Outcome.FAILED, reason)


@given(st.sampled_from(sorted(KNOWN_IDS)), st.text(max_size=40))
def test_any_text_keeps_or_breaks_or_the_arguments_are_to_blame(name: str, text: str) -> None:
    try:
        assert keeps(Constraint(name), text) in (True, False)
    except NotUsableError as error:
        assert error.reason == "instruction_bad_arguments"


def test_an_empty_answer_keeps_nothing() -> None:
    assert not keeps(Constraint("punctuation:no_comma"), " ")
