"""The store gives back what was written, from any shard, and says so when a shard is damaged."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.samples import Mode
from hermes_train.chat.labels import Document
from hermes_train.packing.mixture import MODES
from hermes_train.packing.shards import (
    RowCounts,
    added_up,
    finished_shard,
    identity_hash,
    shard_path,
    write_shard,
)
from hermes_train.packing.store import PackIndex, TokenStore, seal_store, write_store


def documents(count, seed=0, source="s", longest=12):
    rng = np.random.default_rng([seed, count])
    for number in range(count):
        length = int(rng.integers(3, longest))
        ids = rng.integers(1, 128_256, length).astype(np.int32)
        spans = np.asarray([[1, 2], [2, length]], np.int32)
        yield Document(f"{source}/{number}", source, MODES[number % 2], ids, spans)


def same(one, other):
    return (
        (one.id, one.source, one.mode) == (other.id, other.source, other.mode)
        and one.input_ids.tolist() == other.input_ids.tolist()
        and one.spans.tolist() == other.spans.tolist()
    )


def three_shards(folder):
    """Shards of several batches, none, and one document; the sources differ from shard to shard."""
    parts = [list(documents(1300, source="a")), [], [next(documents(1, source="b"))]]
    for number, part in enumerate(parts):
        write_shard(folder, number, part)
    return seal_store(folder, len(parts)), [document for part in parts for document in part]


def test_every_document_of_every_shard_comes_back(tmp_path):
    store, written = three_shards(tmp_path)

    assert len(store) == len(written) == 1301
    for number in (0, 511, 512, 1023, 1024, 1299, 1300):
        assert same(store.document(number), written[number])
        assert store.identity(number) == written[number].id
        assert store.labels(number).tolist() == written[number].labels.tolist()


@given(st.lists(st.integers(0, 600), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_documents_are_numbered_through_the_shards(tmp_path_factory, counts):
    folder = tmp_path_factory.mktemp("store")
    written = []
    for number, count in enumerate(counts):
        part = list(documents(count, seed=number))
        write_shard(folder, number, part)
        written += part

    store = seal_store(folder, len(counts))

    assert all(map(same, store.documents(range(len(store))), written))
    with pytest.raises(IndexError, match=f"has {len(written)} documents"):
        store.document(len(written))


def test_the_small_columns_are_those_of_the_documents(tmp_path):
    store, written = three_shards(tmp_path)

    assert store.lengths().tolist() == [len(document.input_ids) for document in written]
    assert store.label_tokens().tolist() == [document.label_tokens for document in written]
    assert store.hashes().tolist() == [identity_hash(document.id) for document in written]
    assert [MODES[code] for code in store.modes()] == [document.mode for document in written]
    assert [store.source_names[code] for code in store.sources()] == [doc.source for doc in written]


def test_small_columns_are_read_without_any_shard(tmp_path, monkeypatch):
    three_shards(tmp_path)
    opened = []
    mapped = pa.memory_map
    monkeypatch.setattr(pa, "memory_map", lambda path: opened.append(path) or mapped(path))

    store = TokenStore(tmp_path)
    assert store.lengths().sum() > store.label_tokens().sum() > 0
    assert opened == [str(tmp_path / "columns.arrow")]

    store.input_ids(1300)
    assert opened[1:] == [str(shard_path(tmp_path, 2))]


def test_a_store_goes_to_another_process_as_a_path(tmp_path):
    store, written = three_shards(tmp_path)
    store.input_ids(0)

    text = pickle.dumps(store)

    assert len(text) < 500
    assert same(pickle.loads(text).document(1300), written[1300])


def test_the_same_documents_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_store(tmp_path / name, documents(700))

    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert files == {"documents-00000.arrow", "documents-00000.json", "columns.arrow", "store.json"}
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_writer_that_fails_leaves_no_shard(tmp_path):
    def failing():
        yield from documents(600)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path, 0, failing())

    assert finished_shard(tmp_path, 0) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_shard_is_named_with_what_to_do(tmp_path, damage):
    store, _ = three_shards(tmp_path / "pack" / "sft")
    path = shard_path(store.folder, 2)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()

    with pytest.raises(
        UserError, match=r"documents-00002.arrow is missing or cut short; remove .*manifest.json"
    ):
        TokenStore(store.folder)
    with pytest.raises(UserError, match=r"documents-00002.arrow is missing or cut short"):
        seal_store(store.folder, 3)


def test_a_folder_without_a_store_is_refused(tmp_path):
    write_shard(tmp_path, 0, documents(3))

    with pytest.raises(UserError, match="holds no token store; run pack first"):
        TokenStore(tmp_path)


def test_counts_of_all_shards_are_added_up_by_source_and_mode(tmp_path):
    first = [RowCounts("a", Mode.THINK, 5, 3, 30, 20, {"too_long": 2})]
    second = [
        RowCounts("a", Mode.THINK, 1, 0, 0, 0, {"too_long": 1}),
        RowCounts("a", Mode.DIRECT, 1, 1, 9, 4),
    ]
    write_shard(tmp_path, 0, documents(3), lambda: first)
    write_shard(tmp_path, 1, documents(1), lambda: second)

    counts = seal_store(tmp_path, 2).counts()

    assert counts == [
        RowCounts("a", Mode.DIRECT, 1, 1, 9, 4, {}),
        RowCounts("a", Mode.THINK, 6, 3, 30, 20, {"too_long": 3}),
    ]
    assert added_up([*first, *second]) == counts
    assert first[0].dropped == {"too_long": 2}, "what is added up stays as it was"


def test_the_index_of_packs_comes_back(tmp_path):
    index = PackIndex(np.asarray([2, 0, 1]), np.asarray([0, 2]), 16)

    index.save(tmp_path / "index.npz")
    read = PackIndex.load(tmp_path / "index.npz")

    assert [read.documents(pack).tolist() for pack in range(len(read))] == [[2, 0], [1]]
    assert read.length == 16
