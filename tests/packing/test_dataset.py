import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_filters.samples import Mode
from hermes_train.chat.labels import IGNORED, Document
from hermes_train.packing.bins import pack
from hermes_train.packing.dataset import EpochSampler, PackedData, epoch_order
from hermes_train.packing.store import PackIndex, TokenStore, write_store

LENGTH = 16
PAD = 0


def documents(count, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(count):
        length = int(rng.integers(3, 12))
        ids = rng.integers(1, 99, length).astype(np.int32)
        spans = np.asarray([[1, length]], np.int32)
        yield Document(f"d{number}", "s", Mode.DIRECT, ids, spans)


@pytest.fixture
def data(tmp_path):
    write_store(tmp_path / "documents.arrow", documents(40))
    lengths = TokenStore(tmp_path / "documents.arrow").lengths()
    PackIndex(*pack(lengths, LENGTH), LENGTH).save(tmp_path / "index.npz")
    return PackedData(tmp_path, PAD)


def test_the_store_gives_back_every_document(tmp_path):
    written = list(documents(2500))

    assert write_store(tmp_path / "documents.arrow", iter(written)) == 2500
    store = TokenStore(tmp_path / "documents.arrow")

    assert store.identities() == [document.id for document in written]
    assert store.modes() == [Mode.DIRECT] * 2500
    assert store.label_tokens().tolist() == [document.label_tokens for document in written]
    for number in (0, 999, 1000, 2499):
        assert store.input_ids(number).tolist() == written[number].input_ids.tolist()
        assert store.labels(number).tolist() == written[number].labels.tolist()


def test_a_pack_holds_its_documents_and_labelled_padding_never(data):
    for number in range(len(data)):
        row = data.pack(number)
        assert len(row["input_ids"]) == len(row["labels"]) == sum(row["seq_lengths"]) == LENGTH
        position = 0
        for document in data.index.documents(number):
            ids, labels = data.store.input_ids(document), data.store.labels(document)
            assert row["input_ids"][position : position + len(ids)] == ids.tolist()
            assert row["labels"][position : position + len(ids)] == labels.tolist()
            position += len(ids)
        assert set(row["labels"][position:]) <= {IGNORED}
        assert set(row["input_ids"][position:]) <= {PAD}


def test_the_data_set_gives_the_packs_by_number(data):
    rows = data.as_dataset()

    assert len(rows) == len(data)
    assert rows[3] == data.pack(3)


def test_the_tokens_of_a_step_are_those_of_the_packs_the_sampler_gives(data):
    global_batch = 3
    steps_per_epoch = len(data) // global_batch
    sampler = EpochSampler(seed=5, length=len(data))
    for step in (0, 1, steps_per_epoch, 2 * steps_per_epoch + 1):
        epoch, position = divmod(step, steps_per_epoch)
        sampler.set_epoch(epoch)
        packs = list(sampler)[position * global_batch :][:global_batch]
        labels = [label for pack_number in packs for label in data.pack(pack_number)["labels"]]

        tokens, labelled = data.step_tokens(5, global_batch, step)

        assert labelled == sum(label != IGNORED for label in labels)
        assert tokens == sum(len(data.store.input_ids(d)) for p in packs for d in data.index.documents(p))


@given(st.integers(0, 2**31), st.integers(0, 100), st.integers(1, 50))
def test_the_order_of_an_epoch_is_a_permutation_that_depends_on_nothing_else(seed, epoch, packs):
    order = epoch_order(seed, epoch, packs)

    assert sorted(order.tolist()) == list(range(packs))
    assert order.tolist() == epoch_order(seed, epoch, packs).tolist()


def test_epochs_differ_in_their_order():
    assert epoch_order(0, 0, 50).tolist() != epoch_order(0, 1, 50).tolist()
