import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.packing.bins import pack, round_up_to_multiple

CAPACITY = 50
lengths_lists = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=200).map(np.asarray)


def bin_sums(lengths: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(lengths[order], starts)


@given(lengths_lists)
def test_every_document_lies_in_exactly_one_pack_and_no_pack_overflows(lengths):
    order, starts = pack(lengths, CAPACITY)

    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert bin_sums(lengths, order, starts).max() <= CAPACITY


@given(lengths_lists)
def test_no_later_document_would_have_fitted_into_an_earlier_pack(lengths):
    order, starts = pack(lengths, CAPACITY)

    ends = [*starts[1:], len(order)]
    for start, end in zip(starts, ends, strict=True):
        room = CAPACITY - lengths[order[start:end]].sum()
        assert (lengths[order[end:]] > room).all()


@given(lengths_lists, st.integers(1, 12))
def test_rounding_up_loses_no_document_and_gives_a_multiple(lengths, multiple):
    order, starts = pack(lengths, CAPACITY)
    target = -(-len(starts) // multiple) * multiple
    if target > len(lengths):
        with pytest.raises(ValueError, match=f"{len(lengths)} documents.*multiple of the global batch"):
            round_up_to_multiple(order, starts, lengths, multiple)
        return

    order, starts = round_up_to_multiple(order, starts, lengths, multiple)

    assert len(starts) == target
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff([*starts, len(order)]) > 0).all()
    assert bin_sums(lengths, order, starts).max() <= CAPACITY


def test_hermes_shaped_lengths_fill_their_packs():
    rng = np.random.default_rng(0)
    thinking, direct = rng.lognormal(8.2, 0.8, 350_000), rng.lognormal(6.5, 0.8, 160_000)
    lengths = np.clip(np.concatenate([thinking, direct]).astype(int), 1, 16_384)
    rng.shuffle(lengths)

    _, starts = pack(lengths, 16_384)

    assert lengths.sum() / (len(starts) * 16_384) >= 0.9999


def test_a_document_longer_than_a_pack_is_an_error_that_names_both_lengths():
    with pytest.raises(ValueError, match="length 51; a pack takes documents of 1 to 50 tokens"):
        pack(np.array([3, 51]), CAPACITY)


def test_nothing_to_pack_gives_no_pack():
    order, starts = pack(np.array([], int), CAPACITY)

    assert len(order) == len(starts) == 0
