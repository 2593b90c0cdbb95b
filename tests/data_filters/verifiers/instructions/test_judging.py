"""Each instruction is kept or broken as IFEval means it, and what cannot be checked never passes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Constraint, InstructionsTask, Message, Outcome, Sample
from data_filters.settings import InstructionsSettings, VerifySettings
from data_filters.verifiers.instructions import KINDS, check, follows, loose_variants
from data_filters.verify import verify

EXAMPLES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "NASA and ESA met.",
        "NASA met Esa.",
    ),
    ("change_case:english_capital", {}, "ALL OF THIS IS HIGH!", "ALL OF THIS is HIGH!"),
    (
        "change_case:english_capital",
        {},
        "THE QUIET MOUNTAIN WAITS FOR THE EVENING.",
        "DER STILLE BERG WARTET AUF DEN ABEND.",
    ),
    ("change_case:english_lowercase", {}, "all of this is low.", "All of this is low."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, " say HI. Hi!", "Hi! Say hi."),
    ("combination:two_responses", {}, "Yes.\n******\nNo.", "Yes.\n******\nYes."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [city]", "[name] [ci\nty]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye. p. s. More.", "Bye. PS More."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye. P.P.S. More.", "Bye. P.S. More."),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, "Bye. n.b. More.", "Bye. NB More."),
    ("detectable_format:constrained_response", {}, "My answer is no. Sorry.", "My answer is nothing."),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION2 b",
        "SECTION 1\nSection 2\nSECTION B",
    ),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n  - b\n**c**", "* a"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "*\na", "* a\n---"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "* a\n*", "*"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and * *"),
    ("detectable_format:title", {}, "<<Dawn>>\nIt was early.", "<< >>\nIt <<was\nearly>>."),
    ("keywords:existence", {"keywords": ["sun", "moon"]}, "Sunny moonlight", "Only the sun"),
    ("keywords:existence", {"keywords": ["C++ (fast)"]}, "In c++ (fast) it is", "Ccc fast"),
    ("keywords:forbidden_words", {"forbidden_words": ["sun"]}, "Sunny days", "The SUN."),
    (
        "keywords:frequency",
        {"keyword": " sun", "frequency": 2, "relation": "less than"},
        "The sun",
        "The sunny Sun",
    ),
    (
        "keywords:letter_frequency",
        {"letter": "Q", "let_frequency": 2, "let_relation": "at least"},
        "Quick quiz",
        "Quick",
    ),
    (
        "keywords:letter_frequency",
        {"letter": "#", "let_frequency": 2, "let_relation": "at least"},
        "## a title",
        "# a title",
    ),
    ("language:response_language", {"language": "de"}, "Das ist ein schöner Tag.", "This is a nice day."),
    (
        "language:response_language",
        {"language": "zh"},
        "今天天气很好，我们去公园散步。",
        "This is a nice day.",
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        "First.\n\n'then, last.",
        "Then.\n\nLast.",
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "one"},
        "One.",
        "One.\n\nTwo.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***", "a\n***\n***\nb"),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        "Mr. A. Smith left.",
        "He left. She stayed.",
    ),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", "one two"),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "less than"},
        "one two",
        "one two three",
    ),
    ("punctuation:no_comma", {}, "One and two.", "One, two."),
    ("startend:end_checker", {"end_phrase": " The end."}, '"So it was. the end."', "The end. Or not?"),
    ("startend:quotation", {}, ' "Quoted." ', '"'),
]


@pytest.mark.parametrize(("name", "arguments", "kept", "broken"), EXAMPLES)
def test_a_constraint_is_kept_by_one_text_and_broken_by_another(
    name: str, arguments: dict[str, Any], kept: str, broken: str
) -> None:
    constraint = Constraint(name, arguments)

    assert follows(constraint, kept).outcome == Outcome.VERIFIED
    found = follows(constraint, broken)
    assert (found.outcome, found.reason) == (Outcome.REFUTED, f"instruction_broken:{name}")
    assert found.detail


def test_there_is_an_example_for_each_of_the_25_kinds() -> None:
    assert {name for name, *_ in EXAMPLES} == set(KINDS)
    assert len(KINDS) == 25


def test_the_documentation_lists_each_kind_with_its_arguments() -> None:
    page = (Path(__file__).parents[4] / "docs" / "instructions.md").read_text("utf-8")

    for name, kind in KINDS.items():
        arguments = ", ".join(f"`{field}`" for field in kind.__struct_fields__)
        assert f"| `{name}` | {arguments} |".replace("|  |", "| |") in page


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_empty_answer_keeps_nothing(name: str) -> None:
    arguments = next(arguments for known, arguments, *_ in EXAMPLES if known == name)

    assert follows(Constraint(name, arguments), " \n").outcome == Outcome.REFUTED


def test_the_first_broken_constraint_is_named_with_what_was_found() -> None:
    words = Constraint("length_constraints:number_words", {"num_words": 9, "relation": "at least"})
    task = InstructionsTask([Constraint("punctuation:no_comma"), words])

    assert check(task, "low and plain " * 3).reason == "instructions_kept"
    assert check(task, "low, and plain").reason == "instruction_broken:punctuation:no_comma"
    found = check(task, "low and plain")
    assert found.reason == "instruction_broken:length_constraints:number_words"
    assert found.detail == "length_constraints:number_words: 3 words, asked for at least 9"


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint("language:klingon"), "instruction_unknown_id"),
        (Constraint("\ud800" * 5000), "instruction_unknown_id"),
        (Constraint("keywords:existence", {}), "instruction_bad_arguments"),
        (Constraint("keywords:existence", {"keywords": None}), "instruction_bad_arguments"),
        (Constraint("keywords:existence", {"keywords": []}), "instruction_bad_arguments"),
        (Constraint("keywords:existence", {"keywords": "sun"}), "instruction_bad_arguments"),
        (Constraint("keywords:existence", {"keywords": [" "]}), "instruction_bad_arguments"),
        (Constraint("punctuation:no_comma", {"commas": 3}), "instruction_bad_arguments"),
        (Constraint("punctuation:no_comma", {"\ud800" * 5000: 3}), "instruction_bad_arguments"),
        (Constraint("language:response_language", {"language": "\ud800"}), "instruction_bad_arguments"),
        (
            Constraint("length_constraints:number_words", {"num_words": 3, "relation": "about"}),
            "instruction_bad_arguments",
        ),
        (
            Constraint("length_constraints:number_words", {"num_words": 10**6000, "relation": "at least"}),
            "instruction_bad_arguments",
        ),
        (
            Constraint("length_constraints:number_words", {"num_words": 2.5, "relation": "at least"}),
            "instruction_bad_arguments",
        ),
        (
            Constraint(
                "length_constraints:nth_paragraph_first_word",
                {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
            ),
            "instruction_bad_arguments",
        ),
        (
            Constraint(
                "keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}
            ),
            "instruction_bad_arguments",
        ),
    ],
)
def test_a_constraint_that_cannot_be_read_failed_and_refutes_nothing(
    constraint: Constraint, reason: str
) -> None:
    task = InstructionsTask([Constraint("punctuation:no_comma"), constraint])

    found = check(task, "broken, any text")

    assert (found.outcome, found.reason) == (Outcome.FAILED, reason)
    assert len(found.detail.encode()) < 1500


def test_a_task_without_constraints_failed() -> None:
    assert check(InstructionsTask([]), "any text").reason == "instruction_bad_arguments"


def test_rows_that_hold_every_key_with_null_and_counts_as_floats_are_read() -> None:
    arguments = {"num_words": 2.0, "relation": "at least", "keywords": None, "language": None}

    assert follows(Constraint("length_constraints:number_words", arguments), "one two").outcome == "verified"


@pytest.mark.parametrize(
    ("language", "text"), [("de", "1, 2, 3"), ("en", "12 + 30 = 42"), ("tlh", "This is a nice day.")]
)
def test_a_language_that_cannot_be_told_is_unverified(language: str, text: str) -> None:
    task = InstructionsTask([Constraint("language:response_language", {"language": language})])

    found = check(task, text)

    assert (found.outcome, found.reason) == (Outcome.UNVERIFIED, "instruction_unverifiable")


def test_a_broken_constraint_decides_before_one_that_cannot_be_told() -> None:
    unclear = Constraint("language:response_language", {"language": "de"})

    found = check(InstructionsTask([unclear, Constraint("punctuation:no_comma")]), "1, 2, 3")

    assert found.reason == "instruction_broken:punctuation:no_comma"


def test_json_nested_too_deep_to_read_failed_and_is_not_refuted() -> None:
    found = follows(Constraint("detectable_format:json_format"), "[" * 100_000 + "]" * 100_000)

    assert (found.outcome, found.reason) == (Outcome.FAILED, "instruction_too_deep")


def test_json_with_a_number_of_ten_thousand_digits_is_json() -> None:
    assert follows(Constraint("detectable_format:json_format"), "7" * 10_000).outcome == Outcome.VERIFIED


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (Constraint("punctuation:no_comma"), "Sure, here it is:\nOne and two."),
        (Constraint("startend:quotation"), '"Quoted."\nAnything else?'),
        (Constraint("change_case:english_lowercase"), "Sure!\nall of this is low.\nBye!"),
        (Constraint("startend:end_checker", {"end_phrase": "The end."}), "It was so. **The end.**"),
    ],
)
def test_the_loose_reading_forgives_a_first_line_a_last_line_and_asterisks(
    constraint: Constraint, text: str
) -> None:
    assert follows(constraint, text, "strict").outcome == Outcome.REFUTED
    assert follows(constraint, text, "loose").outcome == Outcome.VERIFIED


def test_the_loose_reading_forgives_nothing_else() -> None:
    text = "Sure, here:\nOne, two.\nBye, then."

    assert follows(Constraint("punctuation:no_comma"), text, "loose").outcome == Outcome.REFUTED


def test_the_eight_variants_are_the_answer_without_its_edges_and_asterisks() -> None:
    assert loose_variants("*a*\nb*\nc") == [
        "*a*\nb*\nc",
        "b*\nc",
        "*a*\nb*",
        "b*",
        "a\nb\nc",
        "b\nc",
        "a\nb",
        "b",
    ]


def test_the_recipe_chooses_the_reading_and_the_thought_does_not_count() -> None:
    sample = Sample(
        id="1",
        source="s",
        messages=[
            Message("user", "?"),
            Message("assistant", "Sure, look:\nOne.", reasoning="One, two, three."),
        ],
        task=InstructionsTask([Constraint("punctuation:no_comma")]),
    )
    loose = VerifySettings(instructions=InstructionsSettings(reading="loose"))

    assert verify(sample, VerifySettings()).reason == "instruction_broken:punctuation:no_comma"
    assert verify(sample, loose).reason == "instructions_kept"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(EXAMPLES),
    st.dictionaries(st.sampled_from(["num_words", "keywords", "relation", "letter"]), JSON_VALUES),
    st.text(st.characters(), max_size=40),
)
def test_any_text_and_any_argument_get_an_outcome_and_a_reason(
    example: tuple[str, dict[str, Any], str, str], changed: dict[str, Any], text: str
) -> None:
    name, arguments, *_ = example

    for constraint in (Constraint(name, arguments), Constraint(name, arguments | changed)):
        found = follows(constraint, text, "loose")
        assert found.reason.startswith(("instruction_kept", "instruction_broken:", "instruction_"))
        assert isinstance(found.outcome, Outcome)
        found.detail.encode()  # no lone surrogate gets into the verdict


@pytest.mark.parametrize(
    ("name", "arguments", "unit"),
    [
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}, " \n"),
        ("detectable_format:title", {}, "<"),
        ("detectable_content:number_placeholders", {"num_placeholders": 3}, "["),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, " "),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 3}, "*a\n"),
        ("keywords:existence", {"keywords": ["(a+)+$", "b"]}, "a"),
        ("keywords:forbidden_words", {"forbidden_words": ["a a a b"]}, "a "),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, " "),
        ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "."),
        ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, ".)"),
        ("change_case:capital_word_frequency", {"capital_frequency": 3, "capital_relation": "at least"}, "-"),
        ("language:response_language", {"language": "en"}, "a@"),
    ],
)
def test_hostile_text_takes_time_linear_in_its_length(
    name: str, arguments: dict[str, Any], unit: str
) -> None:
    text = unit * (300_000 // len(unit)) + "x"
    started = time.perf_counter()

    follows(Constraint(name, arguments), text)

    # A quadratic walk would take hours.
    assert time.perf_counter() - started < 10
