"""Pairs set what was verified against what was refuted, and nothing else."""

from collections import Counter

import pytest

from data_filters.pairs import REFUSALS, build_pairs
from data_filters.samples import Message, Mode, Outcome, Pair, Sample, Verdict


def sample(name: str, content: str, reasoning: str | None = None, prompt: str = "2+2?") -> Sample:
    return Sample(name, "test", [Message("user", prompt), Message("assistant", content, reasoning)])


def verdict(reason: str, outcome: Outcome = Outcome.REFUTED) -> Verdict:
    return Verdict("x", outcome, reason)


KEPT = [sample("good", "4", "2 + 2 = 4"), sample("direct", "4")]


def pairs(
    rejected: list[tuple[Sample, Verdict]], refusals: float = 0, limit: int | None = None
) -> list[Pair]:
    return build_pairs(KEPT, rejected, 1, refusals, limit)


def test_a_refuted_trace_stands_against_a_verified_one_of_its_prompt() -> None:
    (pair,) = pairs([(sample("bad", "5", "2 + 2 = 5"), verdict("math_wrong_answer"))])

    assert (pair.kind, pair.mode) == ("trace", Mode.THINK)
    assert pair.prompt == [Message("user", "2+2?")]
    assert (pair.chosen.content, pair.rejected.content) == ("4", "5")


def test_an_unclosed_thought_stays_raw_text_and_stands_against_a_thought() -> None:
    (pair,) = pairs([(sample("bad", "<think>2 + 2"), verdict("think_unclosed"))])

    assert pair.mode == Mode.THINK
    assert pair.chosen.reasoning == "2 + 2 = 4"
    assert (pair.rejected.reasoning, pair.rejected.content) == (None, "<think>2 + 2")


@pytest.mark.parametrize(
    "reason", ["instruction_broken:punctuation:no_comma", "json_not_parsed", "format_broken"]
)
def test_a_broken_constraint_makes_a_constraint_pair(reason: str) -> None:
    (pair,) = pairs([(sample("bad", "four,"), verdict(reason))])

    assert (pair.kind, pair.mode) == ("constraint", Mode.DIRECT)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (sample("bad", "5", "x"), verdict("math_timeout", Outcome.FAILED)),
        (sample("bad", "5", "x"), verdict("no_task", Outcome.UNVERIFIED)),
        (sample("bad", "5", "x"), verdict("duplicate_exact", Outcome.VERIFIED)),
        (sample("bad", "5", "x", prompt="3+3?"), verdict("math_wrong_answer")),
        (sample("bad", "4", "2 + 2 = 4"), verdict("thought_wrong_step")),
    ],
)
def test_nothing_that_was_not_shown_to_be_worse_is_rejected(row: Sample, found: Verdict) -> None:
    assert pairs([(row, found)]) == []


def test_the_asked_share_of_direct_answers_stands_against_refusals() -> None:
    kept = [sample(f"direct/{number}", "4") for number in range(400)]

    made = build_pairs(kept, [], 1, 0.25)

    assert 70 <= len(made) <= 130
    assert {pair.kind for pair in made} == {"refusal"}
    assert {pair.rejected.content for pair in made} == set(REFUSALS)
    assert len(build_pairs(kept, [], 1, 1.0)) == 400


def test_the_same_seed_gives_the_same_pairs_in_any_order_of_rows_and_another_seed_others() -> None:
    kept = [sample(f"direct/{number}", "4") for number in range(50)]

    assert build_pairs(kept, [], 1, 0.5) == build_pairs(kept[::-1], [], 1, 0.5)
    assert build_pairs(kept, [], 1, 0.5) != build_pairs(kept, [], 2, 0.5)


def test_a_limit_leaves_some_of_each_kind() -> None:
    rejected = [(sample(f"bad/{n}", str(n + 5), "x"), verdict("math_wrong_answer")) for n in range(20)]
    rejected += [(sample("bad/comma", "four,"), verdict("format_broken"))]

    made = build_pairs(KEPT, rejected, 1, 1.0, 3)

    assert Counter(pair.kind for pair in made) == {"trace": 1, "constraint": 1, "refusal": 1}


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="refusals is 2"):
        build_pairs([], [], 1, 2)


def test_kept_rows_are_read_once_and_a_limit_takes_the_first_of_all_pairs() -> None:
    rows = [sample(f"d{number}", f"{number}", prompt=f"{number}?") for number in range(200)]

    every = build_pairs(iter(rows), [], 1, 1.0, None)
    some = build_pairs(iter(rows), [], 1, 1.0, 20)

    assert len(every) == 200
    assert some == every[:20]
