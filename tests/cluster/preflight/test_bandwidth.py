from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from hermes_train.cluster.preflight.bandwidth import partner, tournament


@given(st.integers(1, 40))
def test_in_a_tournament_nobody_plays_twice_in_a_round_and_no_pair_twice(hosts):
    rounds = tournament(hosts, rounds=hosts)

    played = [frozenset(pair) for pairs in rounds for pair in pairs]
    assert all(len({host for pair in pairs for host in pair}) == 2 * len(pairs) for pairs in rounds)
    assert sorted(map(sorted, played)) == sorted(map(list, combinations(range(hosts), 2)))


@given(st.integers(2, 40), st.data())
def test_partners_are_each_others(hosts, data):
    pairs = data.draw(st.sampled_from(tournament(hosts)))
    host = data.draw(st.integers(0, hosts - 1))

    other = partner(host, pairs)

    assert other is None or partner(other, pairs) == host
