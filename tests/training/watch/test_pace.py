import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.training.watch.pace import SLOW_WINDOWS, WINDOW_STEPS, ComputeProbe, Pace, PaceWatch
from hermes_train.training.watch.step_timing import StepTimes

TIMES = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8)


def test_a_rank_that_stays_slow_is_told_of_once():
    watch = PaceWatch()
    windows = [watch.judge([1.0, 1.02, 1.4, 0.99]) for _ in range(6)]

    assert [[slow.rank for slow in window] for window in windows] == [[], [], [2], [], [], []]
    assert windows[SLOW_WINDOWS - 1][0].ratio == pytest.approx(1.4)


def test_a_rank_that_is_slow_now_and_then_is_not_told_of():
    watch = PaceWatch()

    assert not any(watch.judge(times) for times in [[1.0, 2.0], [1.0, 2.0], [1.0, 1.0]] * 4)


def test_of_two_ranks_the_slower_is_found():
    watch = PaceWatch()

    assert [slow.rank for _ in range(SLOW_WINDOWS) for slow in watch.judge([1.5, 1.0])] == [0]


@given(TIMES)
def test_the_fastest_rank_is_never_slow(times):
    watch = PaceWatch()
    told = [slow.rank for _ in range(SLOW_WINDOWS) for slow in watch.judge(times)]

    assert all(times[rank] > min(times) for rank in told)


class SlowLinear(torch.nn.Linear):
    def forward(self, values):
        time.sleep(0.005)
        return super().forward(values)


def test_the_probe_times_the_layers_in_the_middle_for_each_token():
    model = torch.nn.Sequential(
        *[torch.nn.Linear(4, 4) for _ in range(4)], *[SlowLinear(4, 4) for _ in range(8)]
    )
    model.extend([torch.nn.Linear(4, 4) for _ in range(4)])
    probe = ComputeProbe(model, on_gpu=False)

    model(torch.zeros(2, 5, 4))

    assert probe.seconds_per_token() == pytest.approx(0.005 / 10, rel=0.5)
    assert probe.seconds_per_token() == 0.0


def test_data_that_comes_too_late_is_told_of_once():
    warnings = []
    pace = Pace(torch.nn.Linear(2, 2), False, warnings.append)

    for _ in range(3 * WINDOW_STEPS):
        pace.after_step(StepTimes(data=0.3, whole=1.0))

    assert len(warnings) == 1
    assert "spent 30% of 10 steps waiting for data" in warnings[0]
