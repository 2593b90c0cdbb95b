"""The loss of an optimizer step is the mean over the labelled tokens of its global batch, however the batch is split.

Four packs a step, and in one step a pack without any label: on 1, 2 and 4 ranks, in micro-batches of 1, 2 and 4, under
every way to spread the model.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_stages import GLOBAL_BATCH, LENGTH, Planned, write_model, write_plan

from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.dataset import PackedData, step_packs
from hermes_train.packing.store import PackIndex, write_store
from hermes_train.training.watch.metrics import read_metrics

pytestmark = [pytest.mark.distributed, pytest.mark.long]

STEPS = 2
SEED = 5
SPLITS = {
    1: [("whole", 4, 0), ("halves", 2, 0), ("one by one", 1, 0)],
    2: [
        ("ZeRO-3, one by one", 1, 3),
        ("ZeRO-3, halves", 2, 3),
        ("ZeRO-2", 2, 2),
        ("ZeRO-1", 1, 1),
        ("DDP", 1, 0),
    ],
    4: [("ZeRO-3, on each of 4", 1, 3)],
}
"""By ranks: name, packs in a micro-batch, ZeRO's stage."""
NAMES = [name for splits in SPLITS.values() for name, *_ in splits]
TOLERANCE = 1e-6


def documents():
    """Documents of both modes, half a pack each or less; two that fill a pack have no label."""
    rng = np.random.default_rng(3)
    for number in range(STEPS * GLOBAL_BATCH * 2):
        length = LENGTH // 2 - int(rng.integers(0, 8)) if number > 1 else LENGTH // 2
        ids = rng.integers(1, 99, length).astype(np.int32)
        labelled = int(rng.integers(1, length - 4))
        spans = [[length - labelled, length]] if number > 1 else np.empty((0, 2))
        yield Document(
            f"d{number}", "s", Mode(("direct", "think")[number % 2]), ids, np.asarray(spans, np.int32)
        )


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    write_store(folder, documents())
    count = STEPS * GLOBAL_BATCH
    PackIndex(np.arange(2 * count), np.arange(0, 2 * count, 2), LENGTH).save(folder / "index.npz")
    return folder


@pytest.fixture(scope="module")
def metrics(packs, tmp_path_factory):
    """The figures of each step, by split."""
    root = tmp_path_factory.mktemp("splits")
    model = write_model(root / "model")
    found = {}
    for ranks, splits in SPLITS.items():
        stages = [
            Planned(
                folder=str(root / f"stage-{ranks}-{number}"),
                origin=str(model),
                data=str(packs),
                steps=STEPS,
                micro_batch=micro_batch,
                parallel={"zero_stage": zero_stage},
            )
            for number, (_, micro_batch, zero_stage) in enumerate(splits)
        ]
        train_all(write_plan(root / f"plan-{ranks}.json", stages), ranks)
        for (name, *_), stage in zip(splits, stages, strict=True):
            found[name] = read_metrics(Path(stage.folder) / "metrics.jsonl")
    return found


def train_all(plan, ranks):
    script = [str(Path(__file__).parent / "small_stages.py"), str(plan)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
    command = [sys.executable, *(launcher if ranks > 1 else []), *script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("figure", ["loss", "loss_think", "loss_direct", "grad_norm"])
def test_every_split_of_the_global_batch_gives_the_same(metrics, name, figure):
    whole, split = metrics[NAMES[0]], metrics[name]

    assert len(whole) == len(split) == STEPS
    for one, other in zip(whole, split, strict=True):
        assert other[figure] == pytest.approx(one[figure], rel=TOLERANCE)


def test_the_losses_of_the_modes_add_up_to_the_loss_of_all(metrics, packs):
    data = PackedData(packs, pad_token_id=0)
    thinking, labels = data.store.modes() == 1, data.store.label_tokens()
    for step, line in enumerate(metrics[NAMES[0]]):
        numbers = np.concatenate(
            [data.index.documents(pack) for pack in step_packs(SEED, step, GLOBAL_BATCH, len(data))]
        )
        think = labels[numbers][thinking[numbers]].sum()
        direct = labels[numbers].sum() - think
        mean = (think * line["loss_think"] + direct * line["loss_direct"]) / (think + direct)
        assert line["loss"] == pytest.approx(mean, rel=1e-6)


def test_a_pack_without_labels_is_in_the_batch(metrics, packs):
    data = PackedData(packs, pad_token_id=0)
    seen = np.concatenate(
        [step_packs(SEED, step, GLOBAL_BATCH, len(data)) for step in range(len(metrics[NAMES[0]]))]
    )

    assert any((data.pack(int(number))["labels"] == -100).all() for number in seen)


def test_a_steps_documents_are_told_by_the_ids_of_their_rows(packs):
    data = PackedData(packs, pad_token_id=0)

    ids = [name for step in range(STEPS) for name in data.step_documents(SEED, step, GLOBAL_BATCH)]

    assert sorted(ids) == sorted(document.id for document in documents())
