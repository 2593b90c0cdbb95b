"""What is said of hosts whose facts are known: no process is started here."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_train.cluster.preflight.facts import (
    GIB,
    Clock,
    Expected,
    Folder,
    Gpu,
    HostFacts,
    OwnFacts,
    RankFacts,
    Speed,
)
from hermes_train.cluster.preflight.judgement import Check, Outcome, Severity, judge, outcome
from hermes_train.cluster.preflight.record import make_record

H100 = "NVIDIA H100 80GB HBM3"
EXPECTED = Expected(nodes=4, gpus_per_node=2, gpu="h100")


def own(**changes):
    """A host that is as it should be."""
    gpu = Gpu(H100, 79 * GIB, used=0, uncorrected_errors=0, slowed_by=())
    facts = OwnFacts(
        versions={"torch": "2.13.0", "CUDA driver": "570.86"},
        code="c0de",
        code_folder="/hermes/hermes_train",
        recipe={"sft.steps": "20", "name": '"x"'},
        environment={"NCCL_IB_HCA": "mlx5_0"},
        run_folder=Folder("/runs/x", "nfs4 storage:/export", 900 * GIB),
        gpus=(gpu, gpu),
    )
    return replace(facts, **changes)


def host(number, own_facts=None, between=40.0, **changes):
    ranks = tuple(RankFacts(2 * number + local, speed=Speed(300.0, between, 200.0, 7)) for local in range(2))
    facts = HostFacts(f"n{number + 1}", ranks, own_facts or own(), Clock(0.0, 0.001), shared_after=0.0)
    return replace(facts, **changes)


def hosts_with(odd, count=4, number=2):
    """Hosts that are fit but for one, the third by default."""
    return [odd if index == number else host(index) for index in range(count)]


def told(findings, severity=Severity.PROBLEM):
    return [
        (finding.host, finding.check, finding.text) for finding in findings if finding.severity is severity
    ]


def test_hosts_that_agree_and_are_as_the_recipe_says_are_fit():
    findings = judge(EXPECTED, hosts_with(host(2)))

    assert findings == []
    assert outcome(findings) is Outcome.FIT


GPU = own().gpus[0]


@pytest.mark.parametrize(
    ("facts", "check", "severity", "words"),
    [
        (own(versions={"torch": "2.12.1", "CUDA driver": "570.86"}), Check.VERSIONS, Severity.PROBLEM,
         "torch 2.12.1; the others have 2.13.0"),
        (own(versions={"torch": "2.13.0"}), Check.VERSIONS, Severity.WARNING, "CUDA driver missing"),
        (own(code="0ther", code_folder="/old/hermes_train"), Check.CODE, Severity.PROBLEM, "/old/hermes_train differ"),
        (own(recipe={"sft.steps": "30", "name": '"x"'}), Check.RECIPE, Severity.PROBLEM,
         "sft.steps is 30 (others: 20)"),
        (own(environment={}), Check.ENVIRONMENT, Severity.WARNING, "NCCL_IB_HCA is not set (others: mlx5_0)"),
        (own(gpus=(GPU,)), Check.GPUS, Severity.PROBLEM, "1 GPU; the recipe's cluster section says 2"),
        (own(gpus=(GPU, GPU, GPU)), Check.GPUS, Severity.WARNING, "3 GPUs; the recipe's cluster section says 2"),
        (own(gpus=(replace(GPU, name="NVIDIA A100"),) * 2), Check.GPUS, Severity.PROBLEM,
         f"NVIDIA A100; the others have {H100}"),
        (own(gpus=(GPU, replace(GPU, used=40 * GIB, users=("python (process 4711)",)))), Check.GPU_MEMORY,
         Severity.PROBLEM, "GPU 1: 40.0 GiB of 79.0 GiB in use before training by python (process 4711)"),
        (own(gpus=(replace(GPU, uncorrected_errors=2), GPU)), Check.GPU_ERRORS, Severity.PROBLEM,
         "GPU 0: 2 errors of its memory"),
        (own(gpus=(GPU, replace(GPU, slowed_by=("hardware thermal slowdown",)))), Check.GPU_CLOCKS, Severity.WARNING,
         "GPU 1: its clocks are held down: hardware thermal slowdown"),
        (own(run_folder=Folder("/runs/x", problem="Read-only file system")), Check.FOLDER, Severity.PROBLEM,
         "cannot write in /runs/x: Read-only file system"),
        (own(cache=Folder("/scratch", problem="there is no such folder")), Check.CACHE, Severity.PROBLEM,
         "HERMES_LOCAL_CACHE: cannot write in /scratch: there is no such folder"),
        (own(cache=Folder("/scratch", free=1000)), Check.CACHE, Severity.WARNING, "only 0.0 GiB free"),
    ],
)  # fmt: skip
def test_the_host_that_differs_is_named_with_what_it_has(facts, check, severity, words):
    [finding] = judge(EXPECTED, hosts_with(host(2, facts)))

    assert (finding.host, finding.check, finding.severity) == ("n3", check, severity)
    assert words in finding.text


def test_of_two_hosts_that_differ_the_first_is_believed():
    findings = judge(replace(EXPECTED, nodes=2), [host(0, own(code="a")), host(1, own(code="b"))])

    assert [finding.host for finding in findings] == ["n2"]


@given(st.lists(st.sampled_from(["2.13.0", "2.12.1", "2.11.0"]), min_size=1, max_size=9))
def test_the_most_are_right_whatever_the_rest_have(versions):
    hosts = [host(index, own(versions={"torch": version})) for index, version in enumerate(versions)]
    named = {name for name, _, _ in told(judge(replace(EXPECTED, nodes=len(hosts)), hosts))}
    usual = {version for index, version in enumerate(versions) if f"n{index + 1}" not in named}

    assert len(usual) == 1
    assert all(versions.count(version) <= versions.count(*usual) for version in versions)


def test_gpus_that_are_all_of_another_kind_are_nobodys_fault():
    hosts = [host(index, own(gpus=(replace(GPU, name="NVIDIA H200"),) * 2)) for index in range(4)]

    [finding] = judge(EXPECTED, hosts)

    assert (finding.host, finding.severity) == (None, Severity.WARNING)
    assert finding.text == "the GPUs are NVIDIA H200; the recipe is for h100"


def test_what_the_driver_does_not_tell_is_said_to_be_unchecked_once():
    hosts = [host(index, own(untold=("clocks of the GPUs: the driver does not tell",))) for index in range(4)]

    [finding] = judge(EXPECTED, hosts)

    assert (finding.host, finding.severity) == (None, Severity.UNCHECKED)
    assert outcome([finding]) is Outcome.FIT


def test_a_folder_without_room_for_a_checkpoint_is_no_hosts_fault():
    hosts = hosts_with(host(2))
    [finding] = judge(replace(EXPECTED, checkpoint_bytes=1000 * GIB), hosts)
    record = make_record([finding], hosts, 4, 3.0)

    assert (finding.host, finding.check, finding.severity) == (None, Check.ROOM, Severity.PROBLEM)
    assert (record.problems, record.no_room) == ([finding.text], finding.text)
    assert make_record([], hosts, 4, 3.0).no_room == ""


def test_a_host_that_does_not_see_the_first_hosts_file_is_named():
    findings = judge(EXPECTED, hosts_with(host(2, sees_main_folder="note.txt is not there after 10 s")))

    [(name, check, text)] = told(findings)
    assert (name, check) == ("n3", Check.FOLDER)
    assert "nfs4 storage:/export" in text
    assert "what n1 wrote (note.txt is not there after 10 s)" in text


@pytest.mark.parametrize(
    ("offsets", "named"),
    [
        ([0.0, 0.2, -0.3, 0.4], []),
        ([0.0, 0.1, 5.0, 0.0], ["n3"]),
        ([0.0, -7.0, -7.1, -7.2], ["n1"]),
        ([0.0, 5.0], ["n2"]),
    ],
)
def test_a_clock_that_is_off_by_more_than_a_second_is_named(offsets, named):
    hosts = [host(index, clock=Clock(offset, 0.01)) for index, offset in enumerate(offsets)]

    findings = judge(replace(EXPECTED, nodes=len(hosts)), hosts)

    assert [finding.host for finding in findings] == named
    assert outcome(findings) is (Outcome.WARNED if named else Outcome.FIT)


def test_a_clock_is_not_blamed_for_a_slow_answer():
    findings = judge(EXPECTED, hosts_with(host(2, clock=Clock(2.0, uncertainty=1.5))))

    assert findings == []


@pytest.mark.parametrize(
    ("speeds", "named"), [([40, 41, 12, 39], ["n3"]), ([40, 12], []), ([40, 30, 25, 42], [])]
)
def test_a_host_far_slower_than_the_median_is_named(speeds, named):
    hosts = [host(index, between=float(speed)) for index, speed in enumerate(speeds)]

    assert [name for name, _, _ in told(judge(replace(EXPECTED, nodes=len(hosts)), hosts))] == named


def test_one_slow_card_makes_its_host_slow():
    ranks = (RankFacts(4, speed=Speed(300.0, 40.0)), RankFacts(5, speed=Speed(300.0, 3.0)))

    [(name, check, text)] = told(judge(EXPECTED, hosts_with(host(2, ranks=ranks))))

    assert (name, check) == ("n3", Check.BANDWIDTH)
    assert text == "3 GB/s with other hosts; the median of the hosts is 40 GB/s"


def stuck_at(number, step):
    ranks = tuple(
        RankFacts(2 * number + local, speed=Speed(step=step, stuck=f"step {step}")) for local in range(2)
    )
    return host(number, ranks=ranks)


@pytest.mark.parametrize(
    ("hosts", "named"),
    [
        # Nobody got through: nobody in particular is to blame.
        ([stuck_at(0, 1), stuck_at(1, 1), stuck_at(2, 1)], {None}),
        # n2 and n3 do not reach each other; n1 waits for one of them.
        ([stuck_at(0, 4), stuck_at(1, 3), stuck_at(2, 3)], {"n2", "n3"}),
    ],
)
def test_who_came_least_far_is_named_where_a_measurement_hangs(hosts, named):
    assert {name for name, _, _ in told(judge(replace(EXPECTED, nodes=3), hosts))} == named


def test_a_rank_without_a_sign_of_life_is_to_blame_and_not_those_who_wait_for_it():
    silent = host(1, ranks=(RankFacts(2, silent=True), RankFacts(3, speed=Speed(step=1, stuck="joining"))))

    [(name, check, text)] = told(judge(replace(EXPECTED, nodes=3), [stuck_at(0, 1), silent, stuck_at(2, 1)]))

    assert (name, check) == ("n2", Check.RANKS)
    assert "rank 2 checked in and gave no more sign of life" in text


def test_ranks_that_did_not_come_are_named_with_how_far_they_came():
    lost = replace(host(1), ranks=tuple(RankFacts(rank, absent="never started") for rank in (2, 3)), own=None)

    [(name, check, text)] = told(judge(replace(EXPECTED, nodes=3), [host(0), lost, host(2)]))

    assert (name, check, text) == ("n2", Check.RANKS, "ranks 2, 3 never started")
