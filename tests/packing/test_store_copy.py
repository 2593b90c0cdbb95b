import pickle

import numpy as np
import pytest

from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.dataset import PackedData
from hermes_train.packing.shards import write_shard
from hermes_train.packing.store import PackIndex, TokenStore, seal_store
from hermes_train.packing.store_copy import copy_part, expected_bytes

SHARDS = (700, 0, 150)
COUNT = sum(SHARDS)


def documents(first, count):
    rng = np.random.default_rng(first)
    for number in range(first, first + count):
        length = int(rng.integers(3, 40))
        mode = (Mode.DIRECT, Mode.THINK)[number % 2]
        ids = rng.integers(1, 999, length).astype(np.int32)
        yield Document(
            f"row/{number}", f"source-{number % 3}", mode, ids, np.asarray([[1, length]], np.int32)
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    first = 0
    for number, count in enumerate(SHARDS):
        write_shard(folder, number, documents(first, count))
        first += count
    seal_store(folder, len(SHARDS))
    PackIndex(np.arange(COUNT), np.arange(0, COUNT, 2), 80).save(folder / "index.npz")
    return TokenStore(folder)


@pytest.fixture(scope="module")
def numbers():
    """Neighbours, documents far apart, both ends of a batch and of a shard."""
    alone = np.random.default_rng(1).choice(COUNT, 60, replace=False)
    return np.unique([*range(100, 300), *alone, 0, 511, 512, 699, 700, COUNT - 1])


@pytest.fixture(scope="module")
def copied(whole, numbers, tmp_path_factory):
    """The folder of a copy, and what was reported of its progress."""
    folder, reports = tmp_path_factory.mktemp("copy"), []
    copy_part(whole.folder, numbers, folder, lambda done, total: reports.append((done, total)))
    return folder, reports


def test_a_copy_has_the_same_documents_under_the_same_numbers(whole, numbers, copied):
    copy = TokenStore(copied[0])

    for number in numbers.tolist():
        one, other = whole.document(number), copy.document(number)
        assert (one.id, one.source, one.mode) == (other.id, other.source, other.mode)
        assert np.array_equal(one.input_ids, other.input_ids)
        assert np.array_equal(one.spans, other.spans)
        assert np.array_equal(whole.labels(number), copy.labels(number))


def test_what_is_small_is_known_of_all_documents(whole, copied):
    copy = TokenStore(copied[0])

    assert len(copy) == COUNT
    for column in ("lengths", "label_tokens", "hashes", "modes", "sources"):
        assert np.array_equal(getattr(copy, column)(), getattr(whole, column)())
    assert copy.source_names == whole.source_names


def test_a_document_that_was_not_copied_is_refused(numbers, copied):
    missing = next(number for number in range(COUNT) if number not in numbers)

    with pytest.raises(LookupError, match=f"copy of a part of a store, without document {missing}"):
        TokenStore(copied[0]).input_ids(missing)


def test_progress_goes_to_the_bytes_of_the_tokens(whole, numbers, copied):
    _, reports = copied
    total = 4 * int(whole.lengths()[numbers].sum())

    assert len(reports) > 1
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1] == (total, total)


def test_the_size_of_a_copy_is_known_before(whole, numbers, copied):
    found = sum(path.stat().st_size for path in copied[0].iterdir())

    assert expected_bytes(whole, numbers) == pytest.approx(found, rel=0.1)


def test_no_document_makes_a_copy_without_documents(whole, tmp_path):
    copy_part(whole.folder, np.empty(0, np.int64), tmp_path, lambda done, total: None)

    assert len(TokenStore(tmp_path)) == COUNT


def test_packs_are_read_from_a_copy_and_ids_of_other_documents_from_the_whole(whole, copied):
    skipped = frozenset({"row/101", f"row/{COUNT - 2}"})
    plain = PackedData(whole.folder, 0, skipped)
    near = pickle.loads(pickle.dumps(PackedData(whole.folder, 0, skipped, copy=copied[0])))

    for pack in range(50, 150):
        for key, value in plain.pack(pack).items():
            assert np.array_equal(near.pack(pack)[key], value)
    assert near.step_documents(5, 1, 8) == plain.step_documents(5, 1, 8)
    assert near.step_tokens(5, 8, 1) == plain.step_tokens(5, 8, 1)
