"""The optimizer's state lies where its parameters lie, by whichever way it was loaded."""

import json

import pytest
import torch

from hermes_train.training.resume import universal
from hermes_train.training.resume.checkpoints import CheckpointFacts, file_sizes, mark_complete
from hermes_train.training.resume.whole_checkpoints import WholeCheckpoints


def adamw(model):
    optimizer = torch.optim.AdamW(model.parameters())
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


@pytest.fixture
def model():
    """A layer on another device than the CPU, one without memory."""
    return torch.nn.Linear(3, 2, bias=False, device="meta")


@pytest.fixture
def checkpoint(model, tmp_path):
    """The universal form of a checkpoint of that layer, saved after step 7."""
    folder = tmp_path / "checkpoint-7"
    weight = folder / "global_step7_universal" / "zero" / "weight"
    weight.mkdir(parents=True)
    for name in ("fp32", "exp_avg", "exp_avg_sq"):
        torch.save({"param": torch.zeros(6)}, weight / f"{name}.pt")
    (folder / "latest_universal").write_text("global_step7_universal")
    (folder / "universal_files.json").write_text(json.dumps(file_sizes(weight.parents[1])))
    torch.save(adamw(model)[1].state_dict(), folder / "scheduler.pt")
    mark_complete(folder, CheckpointFacts(7, 2, 3, "model"))
    return folder


def devices(optimizer):
    return {value.device.type for state in optimizer.state.values() for value in state.values()}


def test_a_single_process_has_the_whole_state_on_the_parameters_device(model, checkpoint):
    optimizer, _ = adamw(model)

    universal.load_optimizer(checkpoint, model, optimizer)

    assert devices(optimizer) == {"meta"}
    assert set(optimizer.state[model.weight]) == {"step", "exp_avg", "exp_avg_sq"}


def test_what_deepspeed_has_loaded_is_brought_to_the_parameters_device(model, checkpoint):
    trainer = WholeCheckpoints()
    trainer.is_deepspeed_enabled = True
    trainer.optimizer, trainer.lr_scheduler = adamw(model)
    moments = {name: torch.zeros_like(model.weight) for name in ("exp_avg", "exp_avg_sq")}
    trainer.optimizer.state[model.weight] = {"step": torch.tensor(7.0), **moments}

    trainer._load_optimizer_and_scheduler(str(checkpoint))

    assert devices(trainer.optimizer) == {"meta"}
