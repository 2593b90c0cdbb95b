import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.training.watch.loss_watch import FEWEST_STEPS, LossWatch, StepHealth

LOSSES = st.floats(0.01, 20)


def watch(*earlier, window=20, deviations=6.0, ratio=1.5):
    made = LossWatch(window, deviations, ratio)
    for loss in earlier:
        made.judge(loss, 1.0)
    return made


@pytest.mark.parametrize(
    ("loss", "grad_norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (1.0, -1.0)]
)
def test_what_is_no_number_is_told_by_both_figures(loss, grad_norm):
    judgement = watch().judge(loss, grad_norm)

    assert judgement.health is StepHealth.NON_FINITE
    assert str(loss) in judgement.reason
    assert str(grad_norm) in judgement.reason


def test_a_leap_out_of_a_steady_curve_is_a_spike():
    judgement = watch(*[1.0, 1.1] * 10).judge(4.0, 1.0)

    assert judgement.health is StepHealth.SPIKE
    assert judgement.reason == "the loss is 4, and the 20 steps before have 1.05 +- 0.05"


def test_a_ripple_on_a_flat_curve_is_no_spike_however_many_deviations_it_has():
    assert watch(*[1.0] * 20).judge(1.4, 1.0).health is StepHealth.SOUND


def test_a_high_loss_of_a_noisy_curve_is_no_spike():
    assert watch(*[0.1, 3.0] * 10).judge(5.0, 1.0).health is StepHealth.SOUND


def test_the_first_steps_have_nothing_to_leap_from():
    known = [1.0] * (FEWEST_STEPS - 1)

    assert watch(*known).judge(100.0, 1.0).health is StepHealth.SOUND
    assert watch(*known, 1.0).judge(100.0, 1.0).health is StepHealth.SPIKE


def test_a_spike_does_not_hide_the_next_one():
    judges = watch(*[1.0] * 20)

    assert [judges.judge(9.0, 1.0).health for _ in range(30)] == [StepHealth.SPIKE] * 30


@given(st.lists(LOSSES, min_size=FEWEST_STEPS, max_size=20), LOSSES)
def test_a_loss_no_higher_than_before_is_never_a_spike(losses, loss):
    assert watch(*losses).judge(min(loss, *losses), 1.0).health is StepHealth.SOUND
