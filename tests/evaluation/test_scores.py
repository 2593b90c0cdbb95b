import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Mode, Outcome, Verdict
from data_filters.verifiers.refusals import Refusal
from hermes_train.evaluation.scores import JudgedAnswer, Proportion, obeys, score, wilson_interval


def judged(correct, kind="sums", refusal=Refusal.NONE, obeyed=True, task="math", deserves_refusal=False):
    verdict = Verdict("a", Outcome.VERIFIED if correct else Outcome.REFUTED, "x")
    return JudgedAnswer(
        "a",
        kind,
        Mode.THINK,
        "q",
        "t",
        10,
        correct,
        True,
        obeyed,
        False,
        refusal,
        verdict,
        task,
        deserves_refusal,
    )


def test_wilson_interval_gives_the_published_values():
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    for (successes, trials), (low, high) in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_lies_within_0_and_1(case):
    successes, trials = case

    low, high = wilson_interval(successes, trials)

    assert 0 <= low <= successes / trials <= high <= 1


def test_scores_count_by_kind_and_full_refusals_only():
    answers = [
        judged(True),
        judged(False, "legs"),
        judged(False, "legs", Refusal.FULL),
        judged(True, "legs", Refusal.PARTIAL),
    ]

    result = score(answers)

    assert (result.problems, result.correct, result.accuracy) == (4, 2, 0.5)
    assert (result.kinds["legs"].problems, result.kinds["legs"].correct) == (3, 1)
    assert result.refused_harmless == Proportion(1, 4, *wilson_interval(1, 4))


def test_problems_without_a_task_count_for_refusals_alone():
    result = score(
        [
            judged(True),
            judged(False, "requests", Refusal.FULL, task=None),
            judged(False, "requests", task=None),
            judged(False, "requests", Refusal.FULL, task=None, deserves_refusal=True),
        ]
    )

    assert (result.problems, result.accuracy, list(result.kinds)) == (1, 1.0, ["sums"])
    assert (result.refused_harmless.count, result.refused_harmless.of) == (1, 3)
    assert (result.refused_rightly.count, result.refused_rightly.of) == (1, 1)
    assert result.constraints_kept.share is None


def test_constraint_keeping_is_over_the_problems_that_ask_for_a_form():
    forms = ["instructions", "json_schema", "answer_format", "instructions"]
    answers = [judged(number != 0, task=form) for number, form in enumerate(forms)]

    result = score([*answers, judged(False, task="math")])

    assert (result.constraints_kept.count, result.constraints_kept.of) == (3, 4)
    assert result.correct == 3


def test_no_answers_give_no_score():
    with pytest.raises(ValueError, match="no answers"):
        score([])
    with pytest.raises(ValueError, match="no answers"):
        score([judged(False, task=None)])


@pytest.mark.parametrize(
    ("text", "thinks", "answers_at_once"),
    [
        ("<think>\n4 + 7 = 11\n</think>\nIt is 11.", True, False),
        ("<think>\n4 + 7 = 11", True, False),
        ("It is 11.", False, True),
        ("It is 11. <think>\nOr not?\n</think>", False, False),
        ("4 + 7 = 11\n</think>\nIt is 11.", False, False),
    ],
)
def test_a_thought_obeys_the_request_for_one_and_no_tag_the_request_for_none(text, thinks, answers_at_once):
    assert (obeys(text, Mode.THINK), obeys(text, Mode.DIRECT)) == (thinks, answers_at_once)


@pytest.mark.parametrize(
    ("text", "thinks"),
    [
        ("<think>\n4 + 7 = 11\n</think>\nIt is 11.", True),
        ("<think>\nIt is 11.", False),
        ("<think>\n\n</think>\nIt is 11.", False),
    ],
)
def test_a_thought_that_the_prompt_opened_obeys_where_the_model_filled_and_closed_it(text, thinks):
    assert obeys(text, Mode.THINK, opened_by_prompt=True) is thinks


def test_obedience_has_an_interval_of_its_own():
    result = score([*(judged(False) for _ in range(19)), judged(True, obeyed=False)])

    assert result.obeyed == 0.95
    assert (result.obeyed_low, result.obeyed_high) == pytest.approx(wilson_interval(19, 20))
