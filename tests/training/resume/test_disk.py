"""Before a checkpoint is written there is room for it, or every rank says the same of what is missing."""

import shutil

import pytest

from hermes_train.training import ranks
from hermes_train.training.resume.checkpoints import CheckpointFacts, mark_complete
from hermes_train.training.resume.disk import await_room
from hermes_train.training.watch.stage_log import DiskFullError


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A stage with a checkpoint of 1000 bytes, which waits for no room."""
    monkeypatch.setattr("hermes_train.training.resume.disk.WAIT_SECONDS", 0.0)
    checkpoint = tmp_path / "checkpoint-4"
    checkpoint.mkdir()
    (checkpoint / "optimizer.pt").write_bytes(bytes(1000))
    mark_complete(checkpoint, CheckpointFacts(4, 8, 3, "model"))
    return tmp_path


def larger_than_the_disk(path):
    """A file without content, of more bytes than there is room for."""
    with path.open("wb") as file:
        file.truncate(shutil.disk_usage(path.parent).free + 10**9)


def test_a_checkpoint_takes_no_more_room_for_its_universal_form(stage):
    universal = stage / "checkpoint-4" / "global_step4_universal"
    universal.mkdir()
    larger_than_the_disk(universal / "fp32.pt")

    await_room(stage, warn=pytest.fail)


def test_every_rank_says_what_the_first_has_seen(stage, monkeypatch):
    # This is rank 1 of 2, which has not looked; rank 0 gives up.
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ranks, "largest", lambda found: 2)
    monkeypatch.setattr(ranks, "gathered_text", lambda text: ["0 GB free, and 1 GB needed", text])

    with pytest.raises(DiskFullError, match=r"^0 GB free, and 1 GB needed$"):
        await_room(stage, warn=pytest.fail)
