"""The held-out loss is the mean over all held-out labels, leaves no trace in training, and chooses the model."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from rank_plans import losses, train_on_ranks
from small_stages import Planned, train, write_held_out, write_model, write_packs
from transformers import LlamaForCausalLM

from hermes_train.packing.held_out import HELD_OUT_INDEX
from hermes_train.packing.mixture import MODES
from hermes_train.packing.store import PackIndex, TokenStore
from hermes_train.training.watch.held_out import mean_of_modes
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.stage_log import StageLog

BEST, LAST = 6, 12
"""The steps of the lowest held-out loss and of the end, where the rate is far too high."""


def test_the_mean_over_all_modes_weighs_each_by_its_labels():
    thinking = {"loss_think": 1.0, "label_tokens_think": 30}

    assert mean_of_modes(thinking | {"loss_direct": 5.0, "label_tokens_direct": 10}) == 2.0
    assert mean_of_modes(thinking | {"label_tokens_direct": 0}) == 1.0


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A model, packs to train on and held-out packs: more than ranks, and no multiple of two."""
    root = tmp_path_factory.mktemp("held_out")
    write_model(root / "model")
    write_packs(root / "packs")
    write_held_out(root / "held_out")
    assert len(PackIndex.load(root / "held_out" / HELD_OUT_INDEX)) % 2 == 1
    return root


def planned(root, name, **settings):
    """A stage with held-out packs."""
    held_out = {"held_out": str(root / "held_out")}
    return Planned(str(root / name), str(root / "model"), str(root / "packs"), **(held_out | settings))


def too_fast(root, name, **settings):
    """A stage that keeps its best step, which is not the last."""
    return planned(root, name, steps=LAST, save_every=2, learning_rate=0.03, keep_best=True, **settings)


@pytest.fixture(scope="module")
def one_rank(root):
    """Stages trained by one process: adapters with dropout, with and without evaluation, and a best step."""
    adapters = planned(root, "one/evaluated", lora=True, dropout=0.3, evaluate_every=1)
    for stage in (adapters, replace(adapters, folder=str(root / "one" / "plain"), held_out=None)):
        train(stage)
    train(too_fast(root, "one/best"))
    return root / "one"


@pytest.fixture(scope="module")
def two_ranks(root):
    """Stages trained by two ranks under ZeRO-3, all in one launch: with and without evaluation, a best step unbroken,
    stopped, killed while the best was saved as the model, one that one process is to end, packs that ranks share."""
    evaluated = planned(root, "two/evaluated", evaluate_every=1)
    stopped = too_fast(root, "two/stopped", stop_after=9)
    stages = [
        evaluated,
        replace(evaluated, folder=str(root / "two" / "plain"), held_out=None),
        too_fast(root, "two/best"),
        stopped,
        replace(stopped, stop_after=None),
        # Once more, with what a kill between the model and the manifest leaves.
        replace(stopped, stop_after=None),
        too_fast(root, "two/to_one", stop_after=9),
        # The last of the launch: DeepSpeed makes such groups once in a process.
        replace(evaluated, folder=str(root / "two" / "shared"), parallel={"sequence_parallel": 2}),
    ]
    train_on_ranks(root, 2, stages)
    return root / "two"


def held_out_losses(stage):
    lines = read_metrics(stage / "metrics.jsonl")
    return {line["step"]: line["held_out_loss"] for line in lines if "held_out_loss" in line}


def computed(root, model):
    """The losses of a saved model on each held-out document for itself: of all labels, and by mode."""
    store = TokenStore(root / "held_out")
    llama = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    losses = {mode: [] for mode in MODES}
    for number in range(len(store)):
        ids = torch.tensor(store.input_ids(number).astype("int64"))[None]
        labels = torch.tensor(store.labels(number).astype("int64"))
        with torch.no_grad():
            logits = llama(ids).logits[0]
        of_tokens = torch.nn.functional.cross_entropy(
            logits[:-1], labels[1:], ignore_index=-100, reduction="none"
        )
        losses[MODES[store.modes()[number]]] += of_tokens[labels[1:] != -100].tolist()
    every = [loss for some in losses.values() for loss in some]
    means = {f"held_out_loss_{mode}": math.fsum(some) / len(some) for mode, some in losses.items()}
    return means | {"held_out_loss": math.fsum(every) / len(every)}


def model_bytes(stage):
    return (stage / "model" / "model.safetensors").read_bytes()


def saved(stage):
    return {path.name for path in stage.glob("checkpoint-*")}


@pytest.mark.long
def test_evaluation_changes_no_loss_of_the_steps_and_no_random_number(one_rank):
    assert losses(one_rank / "evaluated") == losses(one_rank / "plain")
    assert model_bytes(one_rank / "evaluated") == model_bytes(one_rank / "plain")
    assert sorted(held_out_losses(one_rank / "evaluated")) == [1, 2, 3, 4]
    assert not held_out_losses(one_rank / "plain")


@pytest.mark.long
@pytest.mark.distributed
def test_evaluation_changes_no_loss_of_two_ranks_under_zero_3(two_ranks):
    assert losses(two_ranks / "evaluated") == losses(two_ranks / "plain")
    assert model_bytes(two_ranks / "evaluated") == model_bytes(two_ranks / "plain")


@pytest.mark.long
@pytest.mark.distributed
@pytest.mark.parametrize("stage", ["evaluated", "shared"])
def test_the_held_out_loss_is_the_mean_over_all_labels_however_the_packs_are_dealt(root, two_ranks, stage):
    line = read_metrics(two_ranks / stage / "metrics.jsonl")[-1]

    expected = computed(root, two_ranks / stage / "model")

    assert {name: line[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert line["seconds_held_out"] > 0


@pytest.mark.long
def test_the_best_checkpoint_stays_beside_the_last_two_and_the_model_is_made_from_it(root, one_rank):
    stage = one_rank / "best"
    found = held_out_losses(stage)

    assert min(found, key=found.get) == BEST
    assert saved(stage) == {"checkpoint-6", "checkpoint-10", "checkpoint-12"}
    assert computed(root, stage / "model")["held_out_loss"] == pytest.approx(found[BEST], rel=1e-5)
    told = f"model: model of step 6, held-out loss {found[BEST]:.4f}; last step 12 had {found[LAST]:.4f}"
    assert told in StageLog(stage).path.read_text()


@pytest.mark.long
def test_a_step_that_only_a_signal_saved_is_not_gone_back_to(root):
    unbroken = replace(too_fast(root, "rare/unbroken"), save_every=8, evaluate_every=1)
    stopped = replace(unbroken, folder=str(root / "rare" / "stopped"), stop_after=BEST)

    for stage in (unbroken, stopped, replace(stopped, stop_after=None)):
        train(stage)

    found = held_out_losses(root / "rare" / "stopped")
    assert min(found, key=found.get) == BEST
    assert model_bytes(root / "rare" / "stopped") == model_bytes(root / "rare" / "unbroken")


@pytest.mark.long
@pytest.mark.distributed
def test_ranks_under_zero_3_go_back_to_their_best_step(root, one_rank, two_ranks):
    found = held_out_losses(two_ranks / "best")

    assert list(found.values()) == pytest.approx(list(held_out_losses(one_rank / "best").values()), rel=1e-4)
    assert saved(two_ranks / "best") == {"checkpoint-6", "checkpoint-10", "checkpoint-12"}
    loss = computed(root, two_ranks / "best" / "model")["held_out_loss"]
    assert loss == pytest.approx(found[BEST], rel=1e-5)


@pytest.mark.long
@pytest.mark.distributed
def test_a_stage_stopped_and_killed_before_its_manifest_ends_with_the_same_best_model(two_ranks):
    assert losses(two_ranks / "stopped") == losses(two_ranks / "best")
    assert held_out_losses(two_ranks / "stopped") == held_out_losses(two_ranks / "best")
    assert model_bytes(two_ranks / "stopped") == model_bytes(two_ranks / "best")
    log = (two_ranks / "stopped" / "log.txt").read_text()
    assert log.count("model of step 6") == 2


@pytest.mark.long
@pytest.mark.distributed
def test_one_process_makes_the_model_from_the_best_step_of_two_ranks(root, two_ranks, tmp_path):
    stage = shutil.copytree(two_ranks / "to_one", tmp_path / "to_one")

    train(replace(too_fast(root, "to_one"), folder=str(stage)))

    found = held_out_losses(stage)
    assert list(found.values()) == pytest.approx(list(held_out_losses(two_ranks / "best").values()), rel=1e-4)
    assert computed(root, stage / "model")["held_out_loss"] == pytest.approx(found[BEST], rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (shutil.rmtree, "complete.json is missing"),
        (lambda path: (path / "optimizer.pt").unlink(), "optimizer.pt"),
    ],
    ids=["gone", "a file of it"],
)
def test_a_best_checkpoint_that_is_lost_is_told_and_forgotten(root, one_rank, tmp_path, damage, told):
    stage = shutil.copytree(one_rank / "best", tmp_path / "best")
    damage(stage / "checkpoint-6")

    train(replace(too_fast(root, "best"), folder=str(stage)))

    log = (stage / "log.txt").read_text()
    assert "warning: checkpoint-6, the best so far by its held-out loss" in log
    assert told in log
    assert "model: model of step 12, the last: no better one is left" in log
    loss = computed(root, stage / "model")["held_out_loss"]
    assert loss == pytest.approx(held_out_losses(stage)[LAST], rel=1e-5)
