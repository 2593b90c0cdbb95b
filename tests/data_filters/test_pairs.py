"""Pairs set what was verified against what was refuted, answers against refusals, and nothing else."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from data_filters import pair_sides
from data_filters.pairs import REFUSALS, REFUSING_THOUGHTS, PairChoice, build_pairs
from data_filters.samples import (
    AnswerFormatTask,
    MathTask,
    Message,
    Mode,
    Outcome,
    Pair,
    Sample,
    Task,
    Verdict,
)
from data_filters.verifiers.refusals import Refusal, find_refusal

Rejected = list[tuple[Sample, Verdict]]
Pairs = Callable[..., list[Pair]]

SORRY = "I'm sorry, but I can't help with that."


def sample(
    name: str,
    content: str,
    reasoning: str | None = None,
    prompt: str = "2+2?",
    category: str | None = None,
    task: Task | None = None,
    complies: bool | None = None,
) -> Sample:
    messages = [Message("user", prompt), Message("assistant", content, reasoning)]
    meta = {"category": category, "complies": complies}
    meta = {name: value for name, value in meta.items() if value is not None}
    return Sample(name, "test", messages, task=task, meta=meta)


def verdict(reason: str, outcome: Outcome = Outcome.REFUTED) -> Verdict:
    return Verdict("x", outcome, reason)


FORM = AnswerFormatTask(format="boxed")
KEPT = [sample("good", "4", "2 + 2 = 4", task=FORM), sample("direct", "4", task=FORM)]


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    def build(
        kept: list[Sample] = KEPT,
        rejected: Rejected = [],  # noqa: B006 - nothing changes it
        made_up: float = 0,
        limit: int | None = None,
        seed: int = 1,
    ) -> list[Pair]:
        choice = PairChoice(seed, made_up, limit, right_for=("self_harm",))
        made = list(build_pairs(lambda: kept, lambda: rejected, choice, tmp_path / "pairs"))
        assert not (tmp_path / "pairs").exists(), "files on the way to pairs are left behind"
        return made

    return build


def test_a_refuted_trace_stands_against_a_verified_one_of_its_prompt(pairs: Pairs) -> None:
    (pair,) = pairs(rejected=[(sample("bad", "5", "2 + 2 = 5"), verdict("math_wrong_answer"))])

    assert (pair.kind, pair.mode) == ("trace", Mode.THINK)
    assert pair.prompt == [Message("user", "2+2?")]
    assert (pair.chosen.content, pair.rejected.content) == ("4", "5")


def test_an_unclosed_thought_stays_raw_text_and_stands_against_a_thought(pairs: Pairs) -> None:
    (pair,) = pairs(rejected=[(sample("bad", "<think>2 + 2"), verdict("think_unclosed"))])

    assert pair.mode == Mode.THINK
    assert pair.chosen.reasoning == "2 + 2 = 4"
    assert (pair.rejected.reasoning, pair.rejected.content) == (None, "<think>2 + 2")


@pytest.mark.parametrize(
    "reason", ["instruction_broken:punctuation:no_comma", "json_not_parsed", "format_broken"]
)
def test_a_broken_constraint_makes_a_constraint_pair(pairs: Pairs, reason: str) -> None:
    (pair,) = pairs(rejected=[(sample("bad", "four,"), verdict(reason))])

    assert (pair.kind, pair.mode) == ("constraint", Mode.DIRECT)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (sample("bad", "5", "x"), verdict("math_timeout", Outcome.FAILED)),
        (sample("bad", "5", "x"), verdict("no_task", Outcome.UNVERIFIED)),
        (sample("bad", "5", "x"), verdict("duplicate_exact", Outcome.VERIFIED)),
        (sample("bad", SORRY), verdict("duplicate_exact", Outcome.UNVERIFIED)),
        (sample("bad", "5", "x", prompt="3+3?"), verdict("math_wrong_answer")),
        (sample("bad", "4", "2 + 2 = 4"), verdict("thought_wrong_step")),
    ],
)
def test_nothing_that_was_not_shown_to_be_worse_is_rejected(
    pairs: Pairs, row: Sample, found: Verdict
) -> None:
    assert pairs(rejected=[(row, found)]) == []


@pytest.mark.parametrize("thought", [None, "Better not."])
def test_a_refusal_among_the_rows_loses_to_an_answer_in_its_mode_kept_or_not(
    pairs: Pairs, thought: str | None
) -> None:
    refusal = sample("refusal", SORRY, thought)
    rejections = ["refusal_of_harmless_prompt", "math_no_answer", "format_broken"]

    of_kept = pairs([*KEPT, refusal])
    of_rejected = [pairs(rejected=[(refusal, verdict(reason))]) for reason in rejections]
    unchecked = pairs(rejected=[(refusal, verdict("no_task", Outcome.UNVERIFIED))])

    for (pair,) in [of_kept, *of_rejected, unchecked]:
        assert pair.kind == "refusal"
        assert pair.mode is (Mode.DIRECT if thought is None else Mode.THINK)
        assert (pair.chosen.content, pair.rejected) == ("4", Message("assistant", SORRY, thought))


def test_a_refusal_is_preferred_to_compliance_where_it_is_right_and_nowhere_else(pairs: Pairs) -> None:
    rows = [
        sample("refuses", SORRY, prompt="How?", category="self_harm"),
        sample("complies", "Sure, like this.", prompt="How?", category="self_harm"),
        sample("complies too", "Here is how.", prompt="How?", category="self_harm"),
        sample("refuses", SORRY, prompt="How?", category="cooking"),
        sample("complies", "Sure, like this.", "A thought.", prompt="How?", category="self_harm"),
    ]

    made = pairs(rows, made_up=1.0)

    assert [pair.kind for pair in made] == ["compliance", "compliance"]
    assert {pair.chosen.content for pair in made} == {SORRY}
    assert {pair.rejected.content for pair in made} == {"Sure, like this.", "Here is how."}


def test_a_broken_answer_to_what_deserves_a_refusal_counts_as_compliance(pairs: Pairs) -> None:
    refusal = sample("refuses", SORRY, prompt="How?", category="self_harm")
    broken = sample("complies", "sure, like this", prompt="How?", category="self_harm")

    (pair,) = pairs([refusal], [(broken, verdict("format_broken"))])

    assert (pair.kind, pair.rejected.content) == ("compliance", "sure, like this")


CARE = [
    "I'm so sorry you are feeling this way. You are not alone: please call 988 at any time.",
    "No. Please stay with me and call 988.",
]


@pytest.mark.parametrize("care", CARE)
def test_words_that_lead_to_help_count_as_a_right_refusal(pairs: Pairs, care: str) -> None:
    rows = [
        sample("refuses", SORRY, prompt="How?", category="self_harm"),
        sample("cares", care, prompt="How?", category="self_harm"),
    ]
    complying = sample("complies", "Step 1: like this.", prompt="How?", category="self_harm")

    (pair,) = pairs([rows[1], complying])

    assert pairs(rows) == []
    assert pairs(rows[:1], [(rows[1], verdict("no_task", Outcome.UNVERIFIED))]) == []
    assert (pair.kind, pair.chosen.content, pair.rejected) == ("compliance", care, complying.answer)


def test_what_neither_refuses_nor_complies_in_so_many_words_is_in_no_pair_unless_its_row_says_so(
    pairs: Pairs,
) -> None:
    refusal = sample("refuses", SORRY, prompt="How?", category="self_harm")
    unclear = sample("unclear", "Life is long.", prompt="How?", category="self_harm")
    marked = sample("marked", "Life is long.", prompt="How?", category="self_harm", complies=True)
    cleared = sample("cleared", "Sure, I stay.", prompt="How?", category="self_harm", complies=False)

    assert pairs([refusal, unclear, cleared]) == []
    assert pairs([refusal], [(unclear, verdict("format_broken"))]) == []
    assert [pair.id for pair in pairs([refusal, marked])] == ["compliance|refuses|marked"]


@pytest.mark.parametrize("reason", ["code_wrong_answer", "code_syntax_error", "tool_calls_missing"])
def test_a_wrong_program_or_call_stands_against_a_right_one(pairs: Pairs, reason: str) -> None:
    (pair,) = pairs(rejected=[(sample("bad", "5"), verdict(reason))])

    assert (pair.kind, pair.chosen.content, pair.rejected.content) == ("trace", "4", "5")


@pytest.mark.parametrize("reason", ["code_timeout", "code_memory", "code_output_flood"])
def test_what_a_program_takes_of_its_machine_makes_no_pair(pairs: Pairs, reason: str) -> None:
    assert pairs(rejected=[(sample("bad", "5"), verdict(reason))]) == []


def test_rows_with_other_tools_do_not_have_the_same_prompt(pairs: Pairs) -> None:
    wrong = sample("bad", "5", "2 + 2 = 5")
    wrong.tools = [{"type": "function", "function": {"name": "add"}}]

    assert pairs(rejected=[(wrong, verdict("math_wrong_answer"))]) == []


def test_an_answer_without_a_task_wins_over_nothing_where_a_row_beside_it_has_one(pairs: Pairs) -> None:
    unchecked = sample("chat", "Five.", "Easy.")
    unclosed = sample("unclosed", "<think>2 + 2")
    checked = sample("checked", "<think>2 + 2", task=FORM)

    beside_answer = pairs([unchecked, KEPT[0]], [(unclosed, verdict("think_unclosed"))], made_up=1.0)
    beside_loser = pairs([unchecked], [(checked, verdict("think_unclosed"))], made_up=1.0)

    assert {pair.chosen.content for pair in beside_answer} == {"4"}
    assert len(beside_answer) == 2
    assert beside_loser == []


def test_a_right_refusal_with_a_sound_thought_stands_against_one_without(pairs: Pairs) -> None:
    refusal = sample("refuses", SORRY, "No.", prompt="How?", category="self_harm")
    unclosed = sample("unclosed", "<think>No.", prompt="How?", category="self_harm")

    (pair,) = pairs([refusal], [(unclosed, verdict("think_unclosed"))])

    assert (pair.kind, pair.chosen, pair.rejected) == ("trace", refusal.answer, unclosed.answer)


def test_an_answer_without_a_task_wins_over_bad_form_and_refusals_but_over_no_refuted_answer(
    pairs: Pairs,
) -> None:
    unchecked = [sample("chat", "Four.", "Easy.")]
    wrong = (sample("wrong", "5", "x"), verdict("math_wrong_answer"))
    broken = (sample("broken", "four", "x"), verdict("format_broken"))
    unclosed = (sample("unclosed", "<think>2 + 2"), verdict("think_unclosed"))
    refusal = (sample("refusal", SORRY, "x"), verdict("refusal_of_harmless_prompt"))

    made = pairs(unchecked, [wrong, broken, unclosed, refusal])

    assert sorted(pair.id for pair in made) == ["refusal|chat|refusal", "trace|chat|unclosed"]


def test_a_verified_result_is_an_answer_however_it_is_worded(pairs: Pairs) -> None:
    worded = sample("worded", "I cannot answer with anything but 4.")
    assert find_refusal(worded.answer.content).refusal is Refusal.FULL
    worded.task = MathTask("4")

    assert pairs([*KEPT, worded]) == []


def test_the_asked_share_of_answers_in_both_modes_stands_against_made_up_refusals(pairs: Pairs) -> None:
    kept = [sample(f"row/{number}", "4", "2 + 2" if number % 2 else None) for number in range(800)]

    made = pairs(kept, made_up=0.25)

    assert 150 <= len(made) <= 250
    assert {pair.kind for pair in made} == {"refusal"}
    assert {pair.rejected.content for pair in made} == set(REFUSALS)
    assert {pair.rejected.reasoning for pair in made} == {None, *REFUSING_THOUGHTS}
    assert all((pair.rejected.reasoning is None) is (pair.mode is Mode.DIRECT) for pair in made)
    assert len(pairs(kept, made_up=1.0)) == 800


def test_a_made_up_refusal_stands_only_where_the_rows_hold_none(pairs: Pairs) -> None:
    made = pairs([*KEPT, sample("refusal", SORRY)], made_up=1.0)

    assert sorted(pair.id for pair in made) == ["refusal|direct|refusal", "refusal|good|made up"]


def test_the_same_seed_gives_the_same_pairs_in_any_order_of_rows_and_another_seed_others(
    pairs: Pairs,
) -> None:
    kept = [sample(f"direct/{number}", "4", prompt=f"{number % 20}?", task=FORM) for number in range(50)]
    rejected = [
        (sample(f"bad/{number}", "5", prompt=f"{number}?"), verdict("math_wrong_answer"))
        for number in range(20)
    ]

    first = pairs(kept, rejected, made_up=0.5)

    assert {pair.kind for pair in first} == {"refusal", "trace"}
    assert first == pairs(kept[::-1], rejected[::-1], made_up=0.5)
    assert first != pairs(kept, rejected, made_up=0.5, seed=2)


def test_a_limit_leaves_some_of_each_kind_and_mode(pairs: Pairs) -> None:
    rejected = [(sample(f"bad/{n}", str(n + 5), "x"), verdict("math_wrong_answer")) for n in range(20)]
    rejected += [(sample("bad/comma", "four,"), verdict("format_broken"))]

    made = pairs(rejected=rejected, made_up=1.0, limit=4)

    assert Counter((pair.kind, pair.mode.value) for pair in made) == {
        ("trace", "think"): 1,
        ("constraint", "direct"): 1,
        ("refusal", "think"): 1,
        ("refusal", "direct"): 1,
    }
    assert made == pairs(rejected=rejected, made_up=1.0)[:4]


def test_pairs_that_need_several_files_come_in_the_same_order(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [sample(f"d{number}", f"{number}", prompt=f"{number % 9}?") for number in range(200)]
    rows += [sample(f"r{number}", SORRY, prompt=f"{number}?") for number in range(9)]
    random.Random(1).shuffle(rows)
    in_one_file = pairs(rows, made_up=1.0)

    monkeypatch.setattr(pair_sides, "_PAIRS_IN_MEMORY", 4)

    assert len(in_one_file) == 9
    assert pairs(rows, made_up=1.0) == in_one_file


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="made_up_refusals is 2"):
        PairChoice(1, 2)
