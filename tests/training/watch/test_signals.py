import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from hermes_train.training.watch.signals import EXIT_STOPPED, StopSignal, deferred, requested, stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_what_is_at_work_at_once(number):
    with pytest.raises(StopSignal, match=f"stopped by {number.name}"), stop_signals():
        os.kill(os.getpid(), number)
        pytest.fail("the signal was not obeyed")


def test_a_deferred_signal_is_noted_and_obeyed_at_the_end():
    finished = []
    with pytest.raises(StopSignal, match="stopped by SIGUSR1"), stop_signals(), deferred():
        assert requested() is None
        os.kill(os.getpid(), signal.SIGUSR1)
        finished.append(requested())

    assert finished == [signal.SIGUSR1]


def test_an_error_within_a_deferred_block_is_not_covered_up_by_the_signal():
    with pytest.raises(ValueError, match="broken"), stop_signals(), deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("broken")


def test_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
    assert requested() is None


def test_a_forked_worker_ends_by_sigterm_as_it_would_without():
    ready, tell = os.pipe()
    with stop_signals():
        worker = os.fork()
        if worker == 0:
            os.write(tell, b"ready")
            time.sleep(60)
            os._exit(0)
        # Python forgets signals that come while it forks.
        os.read(ready, 5)
        os.kill(worker, signal.SIGTERM)
        _, status = os.waitpid(worker, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGTERM, EXIT_STOPPED, "stopped by SIGTERM; the same command goes on from here\n"),
        (signal.SIGUSR1, EXIT_STOPPED, "stopped by SIGUSR1; the same command goes on from here\n"),
        (signal.SIGINT, 130, "stopped; the same command goes on from here\n"),
    ],
)
def test_a_command_that_is_signalled_ends_with_one_line_and_its_code(number, code, told):
    script = (
        "import sys, time\n"
        "from hermes_train import cli\n"
        "from hermes_train.training.watch.signals import stop_signals\n"
        "@cli.app.command()\n"
        "def work() -> None:\n"
        "    with stop_signals():\n"
        "        print('at work', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.argv[1:] = ['work']\n"
        "cli.main()\n"
    )
    # A shell's background job, which the tests may be, ignores Ctrl-C, and so do its children.
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeded,
    )
    assert process.stdout.readline() == "at work\n"

    process.send_signal(number)

    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (code, told)
