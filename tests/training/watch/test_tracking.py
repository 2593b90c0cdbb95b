"""Figures on their way to W&B when it does not answer."""

import pytest
import wandb

from hermes_train.recipe.schema import WandbSection
from hermes_train.training.watch.tracking import ID_FILE, StageTracker

LINES = [{"step": step, "loss": 1.0 / step} for step in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch):
    """W&B's server is a port at which nobody listens."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")


def tracker(folder, told, mode="online"):
    return StageTracker(WandbSection(mode=mode), "demo", "sft", folder, told.append)


@pytest.mark.long
def test_a_stage_that_comes_back_while_w_and_b_is_down_goes_on_and_a_later_process_sends_its_figures(
    tmp_path, wandb_records
):
    (tmp_path / ID_FILE).write_text("0123456789ab")
    told = []
    lost = tracker(tmp_path, told)

    lost.start({}, LINES[:1])
    for line in LINES[1:]:
        lost.log(line)
    lost.end()

    assert len(told) == 1
    assert "sft goes on without it" in told[0]

    # What the end of a process does.
    wandb.teardown()
    later = tracker(tmp_path, told, mode="offline")
    later.start({}, LINES)
    later.end()
    (records,) = wandb_records(tmp_path)
    sent = [record for record in records if record.WhichOneof("record_type") == "history"]
    assert len(sent) == len(LINES)
