import numpy as np
import pytest
from hypothesis import assume, given
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
    repeats = max(0, target - len(lengths))
    if repeats > len(lengths) // 10:
        with pytest.raises(ValueError, match=f"{len(lengths)} documents.*multiple of the global batch"):
            round_up_to_multiple(order, starts, lengths, multiple)
        return

    order, starts = round_up_to_multiple(order, starts, lengths, multiple)

    assert len(starts) == target
    assert sorted(order[: len(lengths)].tolist()) == list(range(len(lengths)))
    assert len(order) == len(lengths) + repeats
    assert (np.diff([*starts, len(order)]) > 0).all()
    assert bin_sums(lengths, order, starts).max() <= CAPACITY


@given(lengths_lists, st.integers(1, 12))
def test_rounding_up_moves_no_document(lengths, multiple):
    order, starts = pack(lengths, CAPACITY)
    assume(-(-len(starts) // multiple) * multiple <= len(lengths))

    same_order, more_starts = round_up_to_multiple(order, starts, lengths, multiple)

    assert same_order.tolist() == order.tolist()
    assert set(starts.tolist()) <= set(more_starts.tolist())


def test_packs_of_one_document_each_are_rounded_up_by_seeing_the_first_again():
    lengths = np.full(15, 40)

    order, starts = round_up_to_multiple(*pack(lengths, CAPACITY), lengths, 2)

    assert order.tolist() == [*range(15), 0]
    assert starts.tolist() == list(range(16))


@given(lengths_lists)
def test_the_same_lengths_are_packed_the_same_way(lengths):
    for one, other in zip(pack(lengths, CAPACITY), pack(lengths.copy(), CAPACITY), strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("length", [1, 7, 25, 26, 50])
def test_documents_of_one_length_fill_as_many_packs_as_they_must(length):
    _, starts = pack(np.full(1000, length), CAPACITY)

    assert len(starts) == -(-1000 // (CAPACITY // length))


@pytest.fixture(scope="module")
def hermes():
    """Lengths shaped like Hermes 4's in random order, and which are those of thinking samples."""
    rng = np.random.default_rng(0)
    thinking, direct = rng.lognormal(8.2, 0.8, 350_000), rng.lognormal(6.5, 0.8, 160_000)
    lengths = np.concatenate([thinking, direct]).astype(int)
    kept = rng.permutation(np.flatnonzero((lengths > 0) & (lengths <= 16_384)))
    return lengths[kept], kept < len(thinking)


def test_hermes_shaped_lengths_fill_their_packs(hermes):
    lengths, _ = hermes

    order, starts = pack(lengths, 16_384)

    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert bin_sums(lengths, order, starts).max() <= 16_384
    assert lengths.sum() / (len(starts) * 16_384) >= 0.9999


def test_each_pack_is_a_sample_of_the_mixture(hermes):
    lengths, thinks = hermes

    def spread_of_thinking_tokens(order, starts):
        return (bin_sums(lengths * thinks, order, starts) / bin_sums(lengths, order, starts)).std()

    drawn_at_random = np.arange(0, len(lengths), 5)
    largest_first = np.argsort(-lengths)

    spread = spread_of_thinking_tokens(*pack(lengths, 16_384))

    assert spread <= spread_of_thinking_tokens(np.arange(len(lengths)), drawn_at_random)
    assert spread <= 0.7 * spread_of_thinking_tokens(largest_first, drawn_at_random)


def test_a_document_longer_than_a_pack_is_an_error_that_names_both_lengths():
    with pytest.raises(ValueError, match="length 51; a pack takes documents of 1 to 50 tokens"):
        pack(np.array([3, 51]), CAPACITY)


def test_nothing_to_pack_gives_no_pack():
    order, starts = pack(np.array([], int), CAPACITY)

    assert len(order) == len(starts) == 0
