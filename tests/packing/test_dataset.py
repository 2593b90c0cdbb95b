import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from data_filters.samples import Mode
from hermes_train.chat.labels import IGNORED, Document
from hermes_train.packing.balance import even_out
from hermes_train.packing.bins import pack, round_up_to_multiple
from hermes_train.packing.dataset import (
    Dealing,
    PackedData,
    StepSampler,
    attention_works,
    epoch_order,
    step_packs,
)
from hermes_train.packing.store import PackIndex, TokenStore, write_store
from hermes_train.recipe.schema import RandomModel
from hermes_train.training.weights.bases import random_llama

LENGTH = 16
PAD = 0


def documents(count, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(count):
        length = int(rng.integers(3, 12))
        ids = rng.integers(1, 99, length).astype(np.int32)
        spans = np.asarray([[1, length]], np.int32)
        yield Document(f"d{number}", "s", Mode.DIRECT, ids, spans)


def write_packs(folder, multiple=1):
    write_store(folder, documents(40))
    lengths = TokenStore(folder).lengths()
    order, starts = round_up_to_multiple(*pack(lengths, LENGTH), lengths, multiple)
    PackIndex(order, starts, LENGTH).save(folder / "index.npz")
    return PackedData(folder, PAD)


@pytest.fixture
def data(tmp_path):
    return write_packs(tmp_path)


def test_a_pack_holds_its_documents_and_labelled_padding_never(data):
    for number in range(len(data)):
        row = data.pack(number)
        assert len(row["input_ids"]) == len(row["labels"]) == sum(row["seq_lengths"]) == LENGTH
        position = 0
        for document in data.index.documents(number):
            ids, labels = data.store.input_ids(document), data.store.labels(document)
            assert row["input_ids"][position : position + len(ids)].tolist() == ids.tolist()
            assert row["labels"][position : position + len(ids)].tolist() == labels.tolist()
            position += len(ids)
        assert set(row["labels"][position:].tolist()) <= {IGNORED}
        assert set(row["input_ids"][position:].tolist()) <= {PAD}


def test_a_pack_is_read_without_reading_another(data, monkeypatch):
    read = []
    input_ids = TokenStore.input_ids
    monkeypatch.setattr(TokenStore, "input_ids", lambda store, n: read.append(n) or input_ids(store, n))

    data.as_dataset()[3]

    assert read == data.index.documents(3).tolist()


def test_the_data_set_gives_the_packs_by_number(data):
    rows = data.as_dataset()

    assert len(rows) == len(data)
    for key, value in data.pack(3).items():
        assert np.array_equal(rows[3][key], value)


def test_the_data_set_carries_the_attention_work_of_each_pack(data):
    works = [sum(length**2 for length in data.pack(number)["seq_lengths"]) for number in range(len(data))]

    assert attention_works(data.as_dataset()).tolist() == works


def test_the_collators_positions_restart_at_each_document_and_at_the_padding(data):
    collator = DataCollatorForLanguageModeling(pad_token_id=PAD, padding_free=True)
    rows = data.as_dataset()
    padded = next(number for number in range(len(data)) if data.pack(number)["input_ids"][-1] == PAD)

    batch = collator([rows[0], rows[padded]])

    lengths = [*rows[0]["seq_lengths"], *rows[padded]["seq_lengths"]]
    assert batch["position_ids"][0].tolist() == [place for length in lengths for place in range(length)]
    assert batch["cu_seq_lens_q"].tolist() == [0, *np.cumsum(lengths).tolist()]
    labels = np.concatenate([rows[0]["labels"], rows[padded]["labels"]])
    # No document's first token is a target: nothing stands before it that could foretell it.
    labels[batch["position_ids"][0] == 0] = IGNORED
    assert batch["labels"][0].tolist() == labels.tolist()
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_packs_go_to_another_process_as_a_path(data):
    pickled = pickle.dumps(data)

    assert len(pickled) < 1000
    assert np.array_equal(pickle.loads(pickled).pack(2)["input_ids"], data.pack(2)["input_ids"])


@pytest.mark.parametrize("dealing", [Dealing(1, 1, 4), Dealing(2, 1, 2), Dealing(2, 2, 1), Dealing(4, 1, 1)])
def test_the_packs_of_a_step_are_the_same_whatever_the_number_of_ranks(data, dealing):
    works = data.attention_works()
    steps = len(data) // 4
    for epoch in (0, 2):
        rows = list(StepSampler(len(data), 5, dealing, lambda step=epoch * steps: step, works))
        assert len(rows) == steps * 4
        for position in range(steps):
            dealt = rows[4 * position :][:4]
            packs = step_packs(5, epoch * steps + position, 4, len(data))
            assert sorted(dealt) == sorted(packs.tolist())
            assert dealt == packs[even_out(works[packs], dealing.ranks, dealing.micro_batch)].tolist()


def test_an_epoch_is_gone_through_from_its_first_step_when_a_run_goes_on_inside_it():
    steps = {"next": 0}
    sampler = StepSampler(12, 5, Dealing(1, 2, 2), lambda: steps["next"])
    begun = []
    for steps["next"] in (3, 4, 5):
        begun.append(list(sampler))

    assert begun == [epoch_order(5, 1, 12).tolist()] * 3


def test_rows_without_works_come_in_the_order_of_the_epoch():
    assert list(StepSampler(9, 5, Dealing(2, 1, 2), lambda: 0)) == epoch_order(5, 0, 9)[:8].tolist()


def test_ranks_that_share_their_packs_are_dealt_the_same_ones(data):
    works = data.attention_works()
    alone = list(StepSampler(len(data), 5, Dealing(2, 2, 1), lambda: 0, works))
    shared = StepSampler(len(data), 5, Dealing(2, 2, 1), lambda: 0, works, copies=3)

    dealt = np.reshape(list(shared), (-1, 3, 2))

    assert len(shared) == 3 * len(alone)
    assert (dealt == dealt[:, :1]).all()
    assert dealt[:, 0].ravel().tolist() == alone


def test_fewer_rows_than_a_global_batch_are_refused():
    with pytest.raises(ValueError, match="3 rows are fewer than a global batch of 4"):
        StepSampler(3, 5, Dealing(2, 1, 2), lambda: 0)


def test_the_tokens_of_a_step_are_those_of_the_packs_the_sampler_gives(data):
    global_batch = 3
    steps = len(data) // global_batch
    for step in (0, 1, steps, 2 * steps + 1):
        sampler = StepSampler(len(data), 5, Dealing(1, 1, global_batch), lambda step=step: step)
        packs = list(sampler)[step % steps * global_batch :][:global_batch]
        labels = [label for number in packs for label in data.pack(number)["labels"]]

        tokens, labelled = data.step_tokens(5, global_batch, step)

        assert labelled == sum(label != IGNORED for label in labels)
        assert tokens == sum(len(data.store.input_ids(d)) for p in packs for d in data.index.documents(p))


@given(st.integers(0, 2**31), st.integers(0, 100), st.integers(1, 50))
def test_the_order_of_an_epoch_is_a_permutation_that_depends_on_nothing_else(seed, epoch, packs):
    order = epoch_order(seed, epoch, packs)
    epoch_order.cache_clear()

    assert sorted(order.tolist()) == list(range(packs))
    assert order.tolist() == epoch_order(seed, epoch, packs).tolist()


def test_epochs_differ_in_their_order():
    assert epoch_order(0, 0, 50).tolist() != epoch_order(0, 1, 50).tolist()


@pytest.fixture
def job_folder(tmp_path):
    """A folder with packs and a model, as `train_on_ranks.py` takes it."""
    data = write_packs(tmp_path / "packs", multiple=8)
    assert len(data) == 24, "three steps of eight packs to an epoch, so that step 4 lies inside the second"
    model, tokenizer = random_llama(RandomModel(), 0)
    tokenizer.pad_token = "<|finetune_right_pad_id|>"
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    return tmp_path


def packs_on_two_ranks(folder, stop_at):
    """Train in steps of eight packs on two ranks, two packs at a time; return [step, packs] by rank."""
    notes = folder / f"until-{stop_at}"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = [
        str(Path(__file__).with_name("train_on_ranks.py")),
        str(folder),
        "8",
        "2",
        str(stop_at),
        str(notes),
    ]
    done = subprocess.run(
        [*launcher, *script],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        [json.loads(line) for line in Path(f"{notes}-{rank}.jsonl").read_text().splitlines()]
        for rank in (0, 1)
    ]


def dealt(folder, rank, steps):
    """What the balance gives a rank: [step, packs] of each of its micro-steps."""
    data = PackedData(folder / "packs", PAD)
    works = data.attention_works()
    given = []
    for step in steps:
        packs = step_packs(5, step, 8, len(data))
        # Axes: micro-step, rank, place in the micro-batch.
        laid = packs[even_out(works[packs], 2, 2)].reshape(2, 2, 2)
        given += [[step, micro_step[rank].tolist()] for micro_step in laid]
    return given


@pytest.mark.distributed
@pytest.mark.long
def test_each_rank_is_given_the_packs_that_the_balance_dealt_it_also_after_a_kill(job_folder):
    until_5 = packs_on_two_ranks(job_folder, stop_at=5)
    # From the checkpoint of step 4, in the middle of the second epoch.
    until_7 = packs_on_two_ranks(job_folder, stop_at=7)

    for rank in (0, 1):
        assert until_5[rank] == dealt(job_folder, rank, range(5))
        assert until_7[rank] == dealt(job_folder, rank, range(4, 7))
