"""Which host a rank belongs to, whether or not it came."""

from hermes_train.cluster.preflight.facts import Arrival, Folder, OwnFacts, Place
from hermes_train.cluster.preflight.hosts import assemble, choose_backend
from hermes_train.cluster.preflight.presence import Phase, Presence

OWN = OwnFacts({}, "c0de", "", {}, {}, Folder("/runs/x"))


def arrival(host, rank, local_rank, agent):
    return Arrival(Place(host, rank, 4, local_rank, agent), OWN if local_rank == 0 else None)


ALL = {
    0: arrival("n1", 0, 0, 0),
    1: arrival("n1", 1, 1, 0),
    2: arrival("n2", 2, 0, 1),
    3: arrival("n2", 3, 1, 1),
}


def without(*ranks):
    return {rank: found for rank, found in ALL.items() if rank not in ranks}


def test_ranks_belong_to_the_host_that_they_checked_in_from():
    first, second = assemble(4, ALL, {}, [])

    assert (first.name, first.ranks, second.name, second.ranks) == ("n1", (0, 1), "n2", (2, 3))
    assert first.own == OWN
    assert not first.absent


def test_hosts_of_one_name_are_told_apart():
    arrivals = {0: arrival("vm", 0, 0, 0), 1: arrival("vm", 1, 0, 1)}

    assert [host.name for host in assemble(2, arrivals, {}, [])] == ["vm#0", "vm#1"]


def test_a_rank_that_hangs_before_it_checks_in_is_named_by_its_file():
    presences = {3: Presence(3, "n2", 4711, Phase.LOADING)}

    _, second = assemble(4, without(3), presences, [])

    assert second.ranks == (2, 3)
    assert second.absent == {3: "did not check in (process 4711); the last it told: loading its libraries"}


def test_a_host_without_any_sign_is_the_one_of_the_job_that_nobody_else_is_on():
    first, second = assemble(4, without(2, 3), {}, ["n1", "n2"])

    assert (first.name, second.name, second.own) == ("n1", "n2", None)
    assert set(second.absent) == {2, 3}
    assert "never started" in second.absent[2]


def test_a_file_of_a_larger_check_of_the_same_name_is_not_believed():
    presences = {7: Presence(7, "n9", 4711, Phase.LOADING)}

    assert [host.name for host in assemble(4, ALL, presences, [])] == ["n1", "n2"]


def test_bandwidth_is_measured_where_all_came_and_as_many_on_each_host():
    assert choose_backend(assemble(4, ALL, {}, [])) == ("gloo", "")
    assert choose_backend(assemble(4, without(3), {}, [])) == ("", "bandwidth: not every rank came")
    three = {rank: ALL[rank] for rank in (0, 1, 2)}
    assert "different numbers" in choose_backend(assemble(3, three, {}, []))[1]
    assert choose_backend(assemble(1, {0: ALL[0]}, {}, [])) == ("", "")
