"""Every fault of a recipe has one line that says where it is, what was given and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_filters.errors import UserError
from hermes_train.recipe.load import load_recipe

Write = Callable[[str, str], Path]


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def child_refusal(write: Write, text: str) -> str:
    """Return what is said of a recipe that extends the smallest one; its own text starts at line 2."""
    return refusal(write("x.yaml", f"extends: tiny.yaml\n{text}"))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sft: {learning_rat: 1e-5}", "x.yaml:2: unknown key sft.learning_rat; did you mean learning_rate?"),
        ("sft:\n  stepz: 5", "x.yaml:3: unknown key sft.stepz; did you mean steps?"),
        ("parralel: {}", "x.yaml:2: unknown key parralel; did you mean parallel?"),
        ("learning_rate: 1e-5", "x.yaml:2: unknown key learning_rate; learning_rate is a key of sft, hybrid and dpo"),
        ("pack: {zero_stage: 3}", "x.yaml:2: unknown key pack.zero_stage; zero_stage is a key of parallel"),
        ("sft: {seed: 3}", "x.yaml:2: unknown key sft.seed; seed is a key of the top level, data.sources[] and evaluate.problems[]"),  # noqa: E501 - a whole message
        ("export: {qqq: 1}", "x.yaml:2: unknown key export.qqq; the keys here are shard_size, licence"),
        ("tracking: {wandb: {mod: online}}", "x.yaml:2: unknown key tracking.wandb.mod; did you mean mode?"),
        ("hybrid: {length_control: {budgte: 9, budget: 8}}", "x.yaml:2: unknown key hybrid.length_control.budgte; did you mean budget?"),  # noqa: E501 - a whole message
    ],
)  # fmt: skip
def test_an_unknown_key_is_answered_with_the_nearest_or_its_home(
    write: Write, text: str, message: str
) -> None:
    assert child_refusal(write, text) == message


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sft: {steps: many}", "x.yaml:2: sft.steps is 'many'; it must be a whole number, such as 300"),
        ("sft: {steps: '20'}", "x.yaml:2: sft.steps is '20'; it must be a whole number, such as 300"),
        ("sft: {steps: 20.5}", "x.yaml:2: sft.steps is 20.5; it must be a whole number, such as 300"),
        ("sft: {steps: 2e4}", "x.yaml:2: sft.steps is 20000.0; it must be a whole number, such as 300"),
        ("sft: {steps: true}", "x.yaml:2: sft.steps is true; it must be a whole number, such as 300"),
        ("sft: {steps: 0}", "x.yaml:2: sft.steps is 0; it must be at least 1"),
        ("sft: {learning_rate: fast}", "x.yaml:2: sft.learning_rate is 'fast'; it must be a number"),
        ("sft: {learning_rate: 0}", "x.yaml:2: sft.learning_rate is 0; it must be more than 0"),
        ("pack: {think_share: 92}", "x.yaml:2: pack.think_share is 92; it must be at most 1"),
        ("sft: {gradient_checkpointing: yes}", "x.yaml:2: sft.gradient_checkpointing is 'yes'; it must be true or false"),  # noqa: E501 - a whole message
        ("sft: {schedule: cosin}", "x.yaml:2: sft.schedule is 'cosin'; it must be 'cosine', 'linear' or 'constant_with_warmup'; did you mean cosine?"),  # noqa: E501 - a whole message
        ("parallel: {zero_stage: 4}", "x.yaml:2: parallel.zero_stage is 4; it must be 0, 1, 2 or 3"),
        ("model: {revision: 1e5}", "x.yaml:2: model.revision is 100000.0; it must be text; put it in quotes"),
        ("name: Hermes 4", "x.yaml:2: name is 'Hermes 4'; it must be text of the form ^[a-z0-9][a-z0-9._-]*$"),
        ("data: {sources: []}", "x.yaml:2: data.sources is a list of 0; it must be a list of at least 1 item(s)"),
        ("data: {sources: sums}", "x.yaml:2: data.sources is 'sums'; it must be a list"),
        ("data:\n  sources:\n    - sums", "x.yaml:4: data.sources.0 is 'sums'; it must be a section of keys and values"),  # noqa: E501 - a whole message
        ("sft: 9000", "x.yaml:2: sft is 9000; it must be a section of keys and values"),
        ("sft: [1, 2]", "x.yaml:2: sft is a list of 2; it must be a section of keys and values"),
        ("description: {a: b}", "x.yaml:2: description is a section; it must be text; put it in quotes"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_answered_with_what_is_allowed(
    write: Write, text: str, message: str
) -> None:
    assert child_refusal(write, text) == message


@pytest.mark.usefixtures("tiny")
def test_a_section_taken_away_is_missed_at_the_recipe_that_lacks_it(write: Write) -> None:
    assert child_refusal(write, "hybrid: null") == ("x.yaml:2: the recipe lacks hybrid, which has no default")
    assert child_refusal(write, "sft:\n  steps:") == "x.yaml:3: sft lacks steps, which has no default"


def test_several_faults_are_several_lines(tiny: Path) -> None:
    assert refusal(tiny, "sft.steps=0", "sfft=1").splitlines() == [
        "-o sft.steps=0: sft.steps is 0; it must be at least 1",
        "-o sfft=1: unknown key sfft; did you mean sft?",
    ]


def test_the_place_of_a_faulty_override_is_the_option_as_typed(tiny: Path) -> None:
    assert refusal(tiny, "sft.learning_rat=1e-5") == (
        "-o sft.learning_rat=1e-5: unknown key sft.learning_rat; did you mean learning_rate?"
    )


@pytest.mark.usefixtures("tiny")
def test_values_that_disagree_are_shown_with_both_numbers_and_both_places(write: Write) -> None:
    assert child_refusal(write, "name: x\nsft:\n  warmup_steps: 300") == (
        "x.yaml:4: sft: warmup_steps (300) must be less than steps (20): the learning rate would never reach "
        "its peak (steps is set by tiny.yaml:13)"
    )


def test_a_disagreement_brought_by_an_override_names_the_option(tiny: Path) -> None:
    assert refusal(tiny, "sft.steps=2") == (
        "-o sft.steps=2: sft: warmup_steps (2) must be less than steps (2): the learning rate would never "
        "reach its peak (warmup_steps is set by tiny.yaml:14)"
    )


@pytest.mark.usefixtures("tiny")
def test_a_disagreement_with_a_default_says_that_it_is_the_default(write: Write) -> None:
    assert child_refusal(write, "model:\n  random:\n    heads: 5") == (
        "x.yaml:4: model.random: hidden_size (64) must be a multiple of heads (5), since each head takes an "
        "equal part of it (hidden_size is the default)"
    )


@pytest.mark.usefixtures("tiny")
def test_a_disagreement_across_sections_names_the_line_of_each_key(write: Write) -> None:
    assert child_refusal(write, "hybrid: {length_control: {budget: 300}}") == (
        "x.yaml:2: hybrid.length_control.budget (300) must be less than pack.length (256): a cut thought "
        "must fit in a pack with its answer (pack.length is set by tiny.yaml:11)"
    )
    assert child_refusal(write, "hybrid: {length: 400, length_control: {budget: 400}}") == (
        "x.yaml:2: hybrid.length_control.budget (400) must be less than hybrid.length (400): a cut thought "
        "must fit in a pack with its answer"
    )


@pytest.mark.usefixtures("tiny")
def test_a_source_that_length_control_asks_and_the_data_lack_is_named_beside_those_there_are(
    write: Write,
) -> None:
    refusal = child_refusal(write, "hybrid: {length_control: {budget: 9, sources: [nowhere]}}")

    assert "hybrid.length_control.sources names nowhere, but data.sources has " in refusal


@pytest.mark.usefixtures("tiny")
def test_a_disagreement_without_numbers_stands_at_its_section(write: Write) -> None:
    assert child_refusal(write, "name: x\nmodel:\n  base: some/model") == (
        "x.yaml:3: model: give exactly one of model.base and model.random"
    )
    assert child_refusal(
        write, "data:\n  sources:\n    - name: a\n      path: a.jsonl\n      hub: a/b\n"
    ) == (
        "x.yaml:4: data.sources.0: source 'a' needs exactly one of path, hub, synthetic; it has path and hub"
    )
