import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.packing.balance import attention_work, even_out
from hermes_train.packing.bins import pack

CAPACITY = 16_384


@st.composite
def steps(draw):
    """The works of a step's packs, the ranks and the packs that each takes at once."""
    ranks, micro_batch, micro_steps = (draw(st.integers(1, most)) for most in (6, 4, 5))
    size = ranks * micro_batch * micro_steps
    works = draw(st.lists(st.integers(0, CAPACITY**2), min_size=size, max_size=size))
    return np.asarray(works, np.int64), ranks, micro_batch


@pytest.fixture(scope="module")
def hermes_steps():
    """Works of the packs of 60 steps of 384 packs, of lengths shaped like Hermes 4's."""
    rng = np.random.default_rng(0)
    drawn = np.concatenate([rng.lognormal(8.2, 0.8, 94_000), rng.lognormal(6.5, 0.8, 43_000)]).astype(int)
    lengths = rng.permutation(drawn[(drawn > 0) & (drawn <= CAPACITY)])
    order, starts = pack(lengths, CAPACITY)
    works = rng.permutation(attention_work(lengths[order], starts, CAPACITY))
    return works[: 60 * 384].reshape(60, 384)


def by_rank(works, ranks, micro_batch=1):
    """Works laid out as (micro-step, rank)."""
    return works.reshape(-1, ranks, micro_batch).sum(axis=2)


def largest_over_mean(works, ranks):
    totals = by_rank(works, ranks).sum(axis=0)
    return totals.max() / totals.mean()


def waits(works, ranks):
    """The sum over the micro-steps of the heaviest rank's work."""
    return by_rank(works, ranks).max(axis=1).sum()


@given(steps())
def test_every_pack_of_the_step_is_dealt_once(step):
    works, ranks, micro_batch = step

    assert sorted(even_out(works, ranks, micro_batch).tolist()) == list(range(len(works)))


@given(steps())
def test_the_same_works_are_dealt_the_same_way(step):
    works, ranks, micro_batch = step

    assert even_out(works, ranks, micro_batch).tolist() == even_out(works.copy(), ranks, micro_batch).tolist()


@given(steps())
def test_no_rank_has_more_than_the_mean_and_one_micro_batch_of_the_heaviest_packs(step):
    works, ranks, micro_batch = step

    totals = by_rank(works[even_out(works, ranks, micro_batch)], ranks, micro_batch).sum(axis=0)

    assert totals.max() <= totals.mean() + np.sort(works)[-micro_batch:].sum()


def test_packs_that_do_not_divide_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"10 packs cannot be dealt to 4 ranks, 1 at a time.*multiple of 4"):
        even_out(np.arange(10), 4, 1)


def test_at_48_ranks_the_largest_work_stays_within_2_percent_of_the_mean_in_every_step(hermes_steps):
    dealt = [largest_over_mean(works[even_out(works, 48, 1)], 48) for works in hermes_steps]
    as_they_come = [largest_over_mean(works, 48) for works in hermes_steps]

    assert max(dealt) <= 1.02
    assert min(as_they_come) > 1.15


def test_micro_steps_wait_little_longer_than_if_each_held_the_packs_next_in_work(hermes_steps):
    for works in hermes_steps:
        least = waits(np.sort(works), 48)
        assert waits(works[even_out(works, 48, 1)], 48) <= 1.005 * least
        assert waits(works, 48) > 1.5 * least


def test_micro_batches_of_several_packs_are_evened_out_as_wholes(hermes_steps):
    for works in hermes_steps[:10]:
        totals = by_rank(works[even_out(works, 24, 4)], 24, 4).sum(axis=0)
        assert totals.max() / totals.mean() <= 1.02


def test_the_work_of_a_pack_is_the_sum_of_squares_with_its_padding_as_a_document():
    lengths, starts = np.array([10, 3, 3, 2]), np.array([0, 1])

    assert attention_work(lengths, starts, 10).tolist() == [100, 3**2 + 3**2 + 2**2 + 2**2]
    assert attention_work(np.array([], int), np.array([], int), 10).tolist() == []
