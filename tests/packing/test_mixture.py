"""The mixture gives what the recipe asks for, and whether a document is in it depends on the document alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters.errors import UserError
from data_filters.samples import Mode
from hermes_train.packing.mixture import MODES, Part, Stock, lowest, mix, ranks
from hermes_train.packing.shards import identity_hash

DIRECT, THINK = MODES.index(Mode.DIRECT), MODES.index(Mode.THINK)


def stock(*groups, seed=0):
    """Groups of (source, mode, count, tokens of each)."""
    sources, modes, counts, tokens = zip(*groups, strict=True)
    rng = np.random.default_rng(seed)
    return Stock(
        rng.integers(0, 2**64, sum(counts), dtype=np.uint64),
        np.repeat(np.asarray(sources, np.int16), counts),
        np.repeat(np.asarray(modes, np.int8), counts),
        np.repeat(np.asarray(tokens, np.int32), counts),
        [f"source {number}" for number in range(max(sources) + 1)],
    )


def source_shares(documents, times, by_tokens=True):
    amounts = times * (documents.tokens if by_tokens else 1)
    totals = np.bincount(documents.sources, amounts, minlength=len(documents.names))
    return totals / totals.sum()


def think_share(documents, times, by_tokens=True):
    amounts = times * (documents.tokens if by_tokens else 1)
    return amounts[documents.modes == THINK].sum() / amounts.sum()


def test_shares_decide_the_proportion_of_tokens_and_the_scarcest_source_is_used_up():
    documents = stock((0, DIRECT, 1000, 10), (1, DIRECT, 1000, 10))

    times = mix(documents, [Part(0.75), Part(0.25)], None, True, 0)

    assert source_shares(documents, times) == pytest.approx([0.75, 0.25], abs=0.002)
    assert times[documents.sources == 0].tolist() == [1] * 1000
    assert times.max() == 1


def test_shares_of_documents_count_long_and_short_documents_alike():
    documents = stock((0, THINK, 700, 50), (1, DIRECT, 700, 10))

    times = mix(documents, [Part(0.7), Part(0.3)], None, False, 0)

    assert source_shares(documents, times, by_tokens=False) == pytest.approx([0.7, 0.3], abs=0.001)


def test_a_source_without_a_share_brings_all_it_has_and_fixes_the_size_of_the_mixture():
    documents = stock((0, DIRECT, 900, 10), (1, DIRECT, 900, 10))

    times = mix(documents, [Part(), Part(0.1)], None, True, 0)

    assert times[documents.sources == 0].tolist() == [1] * 900
    assert source_shares(documents, times)[1] == pytest.approx(0.1, abs=0.001)


def test_a_scarce_source_is_repeated_evenly_until_it_has_its_share():
    documents = stock((0, DIRECT, 100, 10), (1, DIRECT, 1000, 10))

    times = mix(documents, [Part(0.2, epochs=4.0), Part(0.8)], None, True, 0)

    assert source_shares(documents, times) == pytest.approx([0.2, 0.8], abs=0.002)
    assert set(times[documents.sources == 0].tolist()) == {2, 3}, "250 of 100: nobody once or four times"
    assert times[documents.sources == 1].tolist() == [1] * 1000


def test_a_source_is_never_seen_more_often_than_its_epochs_and_then_falls_short_alone():
    documents = stock((0, DIRECT, 10, 10), (1, DIRECT, 1000, 10), (2, DIRECT, 500, 10))

    times = mix(documents, [Part(0.5, epochs=2.0), Part(0.25), Part()], None, True, 0)

    assert times[documents.sources == 0].tolist() == [2] * 10
    shares = source_shares(documents, times)
    assert shares[0] < 0.05
    assert shares[1] == pytest.approx(0.25, abs=0.002)


def test_the_think_share_thins_the_mode_that_has_too_much_in_every_source_alike():
    documents = stock((0, THINK, 500, 50), (1, THINK, 500, 50), (1, DIRECT, 500, 10))

    times = mix(documents, [Part(), Part()], 0.6, True, 0)

    assert think_share(documents, times) == pytest.approx(0.6, abs=0.01)
    assert times[documents.modes == DIRECT].tolist() == [1] * 500
    kept = [times[(documents.sources == source) & (documents.modes == THINK)].sum() for source in (0, 1)]
    assert kept[0] == kept[1]


def test_the_split_of_hermes_by_documents_is_about_nine_tenths_of_the_tokens():
    documents = stock((0, THINK, 7000, 4970), (1, DIRECT, 7000, 995))

    times = mix(documents, [Part(), Part()], 3.5 / 5.1, False, 0)

    assert think_share(documents, times, by_tokens=False) == pytest.approx(3.5 / 5.1, abs=0.001)
    assert think_share(documents, times) == pytest.approx(0.92, abs=0.01)


def test_shares_of_sources_and_of_modes_hold_together():
    documents = stock((0, THINK, 900, 50), (0, DIRECT, 900, 20), (1, THINK, 900, 50), (1, DIRECT, 900, 20))

    times = mix(documents, [Part(0.7), Part(0.3)], 0.5, True, 0)

    assert source_shares(documents, times) == pytest.approx([0.7, 0.3], abs=0.005)
    assert think_share(documents, times) == pytest.approx(0.5, abs=0.005)


def test_shares_that_contradict_each_other_are_refused():
    documents = stock((0, THINK, 900, 50), (1, DIRECT, 900, 20))

    with pytest.raises(UserError, match=r"think_share \(0.5\) and the shares of the sources contradict"):
        mix(documents, [Part(0.75), Part(0.25)], 0.5, True, 0)


@pytest.mark.parametrize(
    ("parts", "split", "told"),
    [
        ([Part(0.5), Part(0.5)], None, r"source 1.share is 0.5, but no document of source 1 is left"),
        ([Part(), Part()], 0.3, "think_share is 0.3, but there is no document in think mode"),
    ],
)
def test_a_share_of_what_is_not_there_is_refused_and_named(parts, split, told):
    documents = stock((0, DIRECT, 9, 10), (1, DIRECT, 0, 10))

    with pytest.raises(UserError, match=told):
        mix(documents, parts, split, True, 0)


def test_epochs_repeat_whole_sources_and_a_fraction_of_them_once_more():
    times = mix(stock((0, DIRECT, 10, 1)), [Part(epochs=2.5)], None, True, 0)

    assert sorted(times.tolist()) == [2] * 5 + [3] * 5


def test_caps_bound_the_documents_and_tokens_used_before_they_are_repeated():
    documents = stock((0, DIRECT, 100, 10), (1, THINK, 50, 10), (1, DIRECT, 50, 10))

    times = mix(documents, [Part(max_documents=30), Part(max_tokens=405, epochs=2.0)], None, True, 0)

    assert sorted(times[documents.sources == 0].tolist()) == [0] * 70 + [1] * 30
    assert sorted(times[documents.sources == 1].tolist()) == [0] * 60 + [2] * 40


GROUPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(1, 30), st.integers(1, 60)),
    min_size=1,
    max_size=8,
)


@given(GROUPS, st.floats(0.3, 3), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_how_often_a_document_is_seen_does_not_depend_on_the_order_of_documents(groups, epochs, seed, random):
    documents = stock(*groups)
    parts = [Part(epochs=epochs)] * len(documents.names)
    order = np.asarray(random.sample(range(len(documents.tokens)), len(documents.tokens)))

    times = mix(documents, parts, None, True, seed)

    assert mix(documents.only(order), parts, None, True, seed).tolist() == times[order].tolist()


@given(GROUPS, st.floats(0.1, 0.9), st.floats(1, 4), st.integers(0, 5))
@settings(deadline=None)
def test_within_a_source_and_mode_all_are_seen_equally_often_or_once_more(groups, share, epochs, seed):
    documents = stock(*groups)
    parts = [Part(share, epochs)] + [Part()] * (len(documents.names) - 1)
    if not (documents.sources == 0).any():
        return

    times = mix(documents, parts, None, True, seed)

    for cell in np.unique(documents.cells):
        seen = times[documents.cells == cell]
        assert seen.max() - seen.min() <= 1
        assert seen.max() <= np.ceil(epochs)


def test_a_larger_share_keeps_every_document_that_a_smaller_one_kept():
    documents = stock((0, DIRECT, 500, 10), (1, DIRECT, 500, 10))

    small, large = (mix(documents, [Part(share), Part()], None, True, 3) for share in (0.1, 0.3))

    assert (small <= large).all()
    assert small.sum() < large.sum()


def test_another_seed_draws_other_documents():
    documents = stock((0, DIRECT, 500, 10), (1, DIRECT, 500, 10))

    one, other = (mix(documents, [Part(0.2), Part()], None, True, seed) for seed in (0, 1))

    assert (one != other).any()


def test_the_draw_depends_on_the_seed_and_the_hash_and_on_nothing_else():
    hashes = np.asarray([identity_hash(f"row {number}") for number in range(1000)], np.uint64)

    drawn = lowest(hashes, 100, 7)

    assert len(drawn) == 100
    turned = lowest(hashes[::-1], 100, 7)
    assert sorted((999 - turned).tolist()) == drawn.tolist()
    assert lowest(hashes, 2000, 7).tolist() == list(range(1000))


def test_ranks_stay_the_same_in_every_version_so_that_a_mixture_does():
    # By hand: SplitMix64 of 7, xor-ed with SplitMix64 of the seed 3, and SplitMix64 of that.
    assert ranks(np.asarray([7], np.uint64), 3).tolist() == [split_mix(7 ^ split_mix(3))]
    assert split_mix(0) == 0xE220A8397B1DCDAF, "the published generator's first number from the state 0"


def split_mix(state):
    bits = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & bits
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & bits
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & bits
    return state ^ (state >> 31)
