import os
import signal
import threading

import pytest

from hermes_train.training.ranks import wait_until
from hermes_train.training.watch.signals import StopSignal, deferred, stop_signals


def test_a_rank_that_waits_for_another_obeys_a_signal_that_waits_for_a_save():
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    # Ends the wait of code that ignores the signal.
    given_up = threading.Event()
    threading.Timer(2.0, given_up.set).start()
    with stop_signals(), pytest.raises(StopSignal), deferred():
        timer.start()
        with pytest.raises(StopSignal, match="stopped by SIGTERM"):
            wait_until(given_up.is_set, seconds=0.01)


def test_the_rank_that_was_waited_for_obeys_it_as_well():
    with stop_signals(), pytest.raises(StopSignal), deferred():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(StopSignal, match="stopped by SIGUSR1"):
            wait_until(lambda: True)


def test_a_wait_ends_when_its_condition_holds():
    answers = iter([False, False, True])

    wait_until(lambda: next(answers), seconds=0)

    assert list(answers) == []
