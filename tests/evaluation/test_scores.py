import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Mode, Outcome, Verdict
from data_filters.verifiers.refusals import Refusal
from hermes_train.evaluation.scores import Judged, score, wilson_interval


def judged(correct, kind="sums", refusal=Refusal.NONE):
    verdict = Verdict("a", Outcome.VERIFIED if correct else Outcome.REFUTED, "x")
    return Judged("a", kind, Mode.THINK, "q", "t", 10, correct, True, False, refusal, verdict)


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
    assert result.refusals == 0.25


def test_no_answers_give_no_score():
    with pytest.raises(ValueError, match="no answers"):
        score([])
