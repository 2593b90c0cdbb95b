"""How ranks that failed are told, by processes that torchrun need not start."""

import sys

import pytest

from data_filters.errors import RunFailedError, UserError
from hermes_train.training import torchrun
from hermes_train.training.torchrun import run_on_ranks, seconds_to_save
from hermes_train.training.watch.signals import StopSignal
from hermes_train.training.watch.stage_log import EndReason, Entry, StageLog


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A stage whose last run was stopped by a signal, and whose ranks run without torchrun."""
    monkeypatch.setattr(torchrun, "torchrun_command", lambda ranks: [sys.executable])
    monkeypatch.chdir(tmp_path)
    stage = tmp_path / "sft"
    stage.mkdir()
    log = StageLog(stage)
    log.open(Entry.START, "sft on 2 ranks")
    log.close(EndReason.SIGNAL, "stopped by SIGUSR1 after step 731, which is saved")
    return stage


def test_ranks_that_die_without_a_word_are_not_told_by_that_of_an_earlier_run(stage):
    with pytest.raises(RunFailedError, match="sft failed on 2 ranks: torchrun ended with code 1"):
        run_on_ranks(2, ["no_such_module"], stage)


@pytest.mark.parametrize("begins_anew", [False, True])
def test_the_ranks_own_last_word_is_believed(stage, begins_anew):
    clear = "(stage / 'log.txt').unlink()" if begins_anew else ""
    (stage.parent / "stopped.py").write_text(
        "import pathlib, sys\n"
        "from hermes_train.training.watch.stage_log import EndReason, Entry, StageLog\n"
        f"stage = pathlib.Path('sft')\n{clear}\n"
        "StageLog(stage).open(Entry.START, 'sft')\n"
        "StageLog(stage).close(EndReason.SIGNAL, 'stopped by SIGTERM')\n"
        "sys.exit(1)\n"
    )

    with pytest.raises(StopSignal, match=r"^stopped by SIGTERM$"):
        run_on_ranks(2, ["stopped"], stage)


def test_a_save_has_the_time_that_the_site_gives_it(monkeypatch):
    for given, seconds in {"": 600, "1800": 1800}.items():
        monkeypatch.setenv("HERMES_SIGNAL_SECONDS", given)
        assert seconds_to_save() == seconds
    for wrong in ("0", "10m"):
        monkeypatch.setenv("HERMES_SIGNAL_SECONDS", wrong)
        with pytest.raises(
            UserError, match=f"HERMES_SIGNAL_SECONDS is '{wrong}'; it has to be a whole number"
        ):
            seconds_to_save()
