"""What comes after a try, by its values; tries on a real Slurm are in tests/slurm/test_requeue.py."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster.attempts import allocation
from hermes_train.cluster.attempts.allocation import Allocation, Standing
from hermes_train.cluster.attempts.attempting import _Attempting
from hermes_train.cluster.attempts.decision import (
    Action,
    Ending,
    Outcome,
    Progress,
    Room,
    decide,
    futile_tries,
    given_up,
)
from hermes_train.cluster.attempts.evidence import Evidence, absent, ending, unfitness
from hermes_train.cluster.attempts.record import Attempt, append_attempt, killed, read_attempts
from hermes_train.cluster.attempts.step import srun_command
from hermes_train.cluster.environment import read_environment
from hermes_train.cluster.preflight.judgement import Outcome as CheckOutcome
from hermes_train.cluster.preflight.record import HostRecord, Record
from hermes_train.pipeline import Pipeline
from hermes_train.recipe.load import load_recipe
from hermes_train.training.watch.stacks import Place, RankStack
from hermes_train.training.watch.stage_log import End, EndReason
from hermes_train.training.watch.tries import VARIABLE, Try, hosts_folder, is_superseded, jobs_folder

ROOM = Room(left_out=frozenset(), usable=frozenset({"n1", "n2", "n3"}), needed=2)
BLAMED = ("n2",)
BEGUN = Try(job=12, restart=1, nodes=("n1", "n2"), started="2026-11-22T09:14:03+00:00", from_step=8)


def tried(outcome: Outcome, brought: int = 0) -> Progress:
    return Progress(outcome, 8, 8 + brought)


def decided(outcome: Outcome, *before: Progress, brought: int = 0, blamed=(), room: Room = ROOM):
    tries = [*before, tried(outcome, brought)]
    return decide(Ending(outcome, "it ended", blamed), tries, 3, room)


@pytest.mark.parametrize(
    ("outcome", "blamed", "action"),
    [
        (Outcome.DONE, (), Action.DONE),
        (Outcome.STOPPED, (), Action.REQUEUE),
        (Outcome.TAKEN, (), Action.LEAVE_TO_SLURM),
        (Outcome.UNFIT, (), Action.REQUEUE),
        (Outcome.UNFIT, BLAMED, Action.REQUEUE_WITHOUT_NODE),
        (Outcome.HUNG, (), Action.REQUEUE),
        (Outcome.HUNG, BLAMED, Action.REQUEUE_WITHOUT_NODE),
        (Outcome.RANK_LOST, BLAMED, Action.REQUEUE_WITHOUT_NODE),
        (Outcome.MACHINE, BLAMED, Action.REQUEUE_WITHOUT_NODE),
        (Outcome.FAILED, BLAMED, Action.STOP),
    ],
)
def test_what_comes_after_a_first_try(outcome, blamed, action):
    decision = decided(outcome, blamed=blamed)

    assert decision.action is action
    assert decision.leave_out == (blamed if action is Action.REQUEUE_WITHOUT_NODE else ())
    assert "it ended" in decision.text


def test_a_node_is_not_left_out_where_too_few_would_be_left():
    room = Room(frozenset({"n3"}), frozenset({"n1", "n2", "n3"}), 2)

    decision = decided(Outcome.HUNG, blamed=BLAMED, room=room)

    assert (decision.action, decision.leave_out) == (Action.REQUEUE, ())
    assert "without n2 there are less than the 2 it needs" in decision.text


def test_the_last_of_the_tries_without_a_newer_checkpoint_stops_the_job():
    decision = decided(Outcome.HUNG, tried(Outcome.RANK_LOST), tried(Outcome.STOPPED))

    assert decision.action is Action.STOP
    assert "try 3 of 3 (HERMES_TRIES) without a newer checkpoint than step 8" in decision.text


@pytest.mark.parametrize(
    ("tries", "futile"),
    [
        ([tried(Outcome.HUNG), tried(Outcome.HUNG)], 2),
        ([tried(Outcome.HUNG), tried(Outcome.STOPPED, brought=1), tried(Outcome.HUNG)], 1),
        ([tried(Outcome.HUNG), tried(Outcome.TAKEN), tried(Outcome.HUNG)], 2),
        ([tried(Outcome.HUNG), tried(Outcome.TAKEN, brought=3), tried(Outcome.HUNG)], 1),
        ([tried(Outcome.KILLED), tried(Outcome.KILLED)], 2),
        ([tried(Outcome.TAKEN)] * 9, 0),
    ],
)
def test_tries_in_vain_are_counted_since_the_last_that_brought_something(tries, futile):
    assert futile_tries(tries) == futile


@given(
    st.lists(
        st.builds(
            tried, st.sampled_from(Outcome).filter(lambda found: found is not Outcome.DONE), st.integers(0, 2)
        ),
        min_size=1,
    ),
    st.integers(1, 5),
)
def test_a_job_is_never_put_back_for_ever(tries, limit):
    last = tries[-1]
    decision = decide(Ending(last.outcome, "it ended"), tries, limit, ROOM)

    if decision.action is Action.REQUEUE:
        assert futile_tries(tries) < limit


def evidence(**seen):
    usual = {
        "is_done": False,
        "standing": Standing.RUNS,
        "code": 1,
        "asked": None,
        "last_word": None,
        "stacks": {},
        "stacks_folder": Path("stacks"),
        "rank_count": 2,
        "node_count": 2,
    }
    return Evidence(**usual | seen)


def word(reason: EndReason, text: str = "rank 1 on n2: SomeError: it broke") -> End:
    return End(reason, text)


KILLED_ON_N2 = {1: RankStack("n2", None)}
STANDS = {0: RankStack("n1", Place(True, "all_reduce")), 1: RankStack("n2", Place(False, "read_batch"))}


@pytest.mark.parametrize(
    ("seen", "outcome", "blamed"),
    [
        ({"is_done": True, "code": 0}, Outcome.DONE, ()),
        ({"is_done": True, "asked": "SIGUSR1"}, Outcome.DONE, ()),
        ({"last_word": word(EndReason.SIGNAL), "standing": Standing.ENDS}, Outcome.TAKEN, ()),
        ({"last_word": word(EndReason.RANK_LOST), "standing": Standing.TO_BE_TAKEN}, Outcome.TAKEN, ()),
        ({"last_word": word(EndReason.SIGNAL), "asked": "SIGUSR1"}, Outcome.STOPPED, ()),
        ({"last_word": word(EndReason.SIGNAL)}, Outcome.STOPPED, ()),
        ({"asked": "SIGUSR1"}, Outcome.STOPPED, ()),
        ({"last_word": word(EndReason.HUNG), "stacks": STANDS}, Outcome.HUNG, ("n2",)),
        ({"stacks": STANDS}, Outcome.HUNG, ("n2",)),
        ({"last_word": word(EndReason.RANK_LOST), "stacks": KILLED_ON_N2}, Outcome.RANK_LOST, ("n2",)),
        ({"last_word": word(EndReason.RANK_LOST)}, Outcome.RANK_LOST, ()),
        ({"stacks": KILLED_ON_N2 | {0: RankStack("n1", None)}}, Outcome.RANK_LOST, ()),
        ({"last_word": word(EndReason.MACHINE)}, Outcome.MACHINE, ("n2",)),
        ({"last_word": word(EndReason.LOSS)}, Outcome.FAILED, ()),
        ({"last_word": word(EndReason.DISK)}, Outcome.FAILED, ()),
        # The signal ended a compiler that a rank had started, for one.
        ({"last_word": word(EndReason.ERROR), "asked": "SIGUSR1"}, Outcome.STOPPED, ()),
        ({"last_word": word(EndReason.LOSS), "asked": "SIGUSR1"}, Outcome.FAILED, ()),
        ({"code": 2, "node_count": 1}, Outcome.FAILED, ()),
        ({"code": 2}, Outcome.UNFIT, ()),
        ({"code": 1}, Outcome.RANK_LOST, ()),
    ],
)
def test_how_a_try_ended_is_told_by_what_it_left(seen, outcome, blamed):
    found = ending(evidence(**seen))

    assert (found.outcome, found.blamed) == (outcome, blamed)


def test_ranks_that_hung_without_a_word_of_theirs_are_told_by_their_stacks():
    found = ending(evidence(stacks=STANDS, last_word=word(EndReason.SILENT)))

    assert found.text == (
        "no step for too long; the others wait for rank 1 on n2, which is at work in read_batch; "
        "the stacks of 2 of 2 ranks lie in stacks"
    )


def checked(*, problems: Sequence[str] = (), no_room: str = "", **hosts: str) -> Record:
    """What a check wrote, and was read again; the hosts with what is wrong with each."""
    found = [HostRecord(host, [problem] if problem else [], []) for host, problem in hosts.items()]
    return Record(CheckOutcome.UNFIT, 3.2, 2, found, list(problems), [], [], no_room=no_room)


@pytest.mark.parametrize(
    ("record", "outcome", "blamed", "told"),
    [
        (checked(n1="", n2="torch 2.12"), Outcome.UNFIT, ("n2",), "n2: torch 2.12"),
        (checked(n1="no GPU", n2="no GPU"), Outcome.FAILED, (), "n1: no GPU; n2: no GPU"),
        (
            checked(n1="", n2="", problems=["make room"], no_room="make room"),
            Outcome.FAILED,
            (),
            "make room",
        ),
        (checked(n1="", n2="", problems=["nobody came further"]), Outcome.UNFIT, (), "nobody came further"),
        (checked(n1="", n2=""), Outcome.UNFIT, (), "the lines above say why"),
    ],
)
def test_a_check_that_names_a_host_blames_it_and_one_that_names_all_blames_none(
    record, outcome, blamed, told
):
    found = unfitness(record, 1, ("n1", "n2"), ())

    assert (found.outcome, found.blamed) == (outcome, blamed)
    assert told in found.text


@pytest.mark.parametrize(
    ("code", "nodes", "missing", "outcome"),
    [
        (1, ("n1", "n2"), (), Outcome.UNFIT),
        (1, ("n1", "n2"), ("n2",), Outcome.UNFIT),
        # A node without the file system or the module; alone, it is the one that the try itself started on.
        (2, ("n1", "n2"), ("n2",), Outcome.UNFIT),
        (2, ("n1",), (), Outcome.FAILED),
    ],
)
def test_a_check_without_findings_blames_the_hosts_that_did_not_come_up(code, nodes, missing, outcome):
    found = unfitness(None, code, nodes, missing)

    assert (found.outcome, found.blamed) == (outcome, missing)


@pytest.mark.parametrize(
    ("came", "seconds", "missing"),
    [
        ({"n1", "n2", "n3"}, 900, ()),
        ({"n1"}, 900, ("n2", "n3")),
        (set(), 900, ()),
        # The first that failed has ended all, and another may not have come so far.
        ({"n1"}, 2, ()),
        ({"n1", "n3"}, 2, ("n2",)),
    ],
)
def test_hosts_that_kept_the_others_waiting_are_told_by_the_marks_of_those(came, seconds, missing):
    assert absent(("n1", "n2", "n3"), came, seconds) == missing


def test_the_record_of_tries_outlives_a_line_that_was_cut_short(tmp_path: Path):
    first = Attempt.of(BEGUN, 16, Outcome.STOPPED, "stopped by SIGUSR1")
    second = Attempt.of(BEGUN, 16, Outcome.HUNG, "no step for 30 minutes", ("n2",))
    append_attempt(tmp_path, first)
    with (tmp_path / "attempts.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(first)[:50])
    append_attempt(tmp_path, second)

    assert read_attempts(tmp_path) == [first, second]


@pytest.mark.parametrize(("signal", "outcome"), [(None, Outcome.KILLED), ("SIGTERM", Outcome.TAKEN)])
def test_a_try_that_left_no_line_gets_one_from_the_next(signal, outcome):
    begun = msgspec.structs.replace(BEGUN, signal=signal)

    found = killed([], begun, 8)

    assert found is not None
    assert (found.outcome, found.job, found.restart, found.from_step, found.to_step) == (outcome, 12, 1, 8, 8)
    assert killed([found], begun, 8) is None
    assert killed([], None, 8) is None


@pytest.mark.parametrize(
    ("place", "superseded"),
    [((12, 0), True), ((12, 1), False), ((12, 2), False), ((11, 5), True)],
)
def test_a_try_is_superseded_by_a_later_restart_or_job_alone(tmp_path, monkeypatch, place, superseded):
    stage = tmp_path / "sft"
    jobs = jobs_folder(stage)
    jobs.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(hosts_folder(jobs, place)))
    assert not is_superseded(stage)

    (jobs / "try.json").write_bytes(msgspec.json.encode(BEGUN))

    assert is_superseded(stage) is superseded


def test_what_is_trained_by_hand_in_an_older_job_is_not_superseded(tmp_path, monkeypatch):
    stage = tmp_path / "sft"
    jobs_folder(stage).mkdir(parents=True)
    (jobs_folder(stage) / "try.json").write_bytes(msgspec.json.encode(BEGUN))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "11")

    assert not is_superseded(stage)


SCONTROL = """#!/bin/sh
[ -e FOLDER/asked ] && exec echo "JobId=12 JobState=RUNNING Restarts=1"
touch FOLDER/asked
echo "slurm_load_jobs error: TOLD" >&2
exit 1
"""
"""Has no answer to the first question."""


@pytest.mark.parametrize("told", ["Transport endpoint is not connected", "Unspecified error"])
def test_a_controller_that_fails_once_is_asked_again(tmp_path, monkeypatch, told):
    program = tmp_path / "scontrol"
    program.write_text(SCONTROL.replace("FOLDER", str(tmp_path)).replace("TOLD", told))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(allocation, "_ASK_AGAIN_SECONDS", 0.0)

    assert Allocation(12, 1, ("n1",), "gpu").standing() is Standing.RUNS


def test_no_other_try_is_made_after_the_last_that_was_killed_without_a_word():
    lost = [tried(Outcome.KILLED), tried(Outcome.KILLED)]

    assert given_up("killed without a word", lost, 3) is None
    assert given_up("killed without a word", lost, 2) == (
        "killed without a word; that was try 2 of 2 (HERMES_TRIES) without a newer checkpoint than step 8"
    )
    assert given_up("killed without a word", [], 2) is None


def test_a_job_whose_tries_are_all_killed_without_a_word_stops(tmp_path: Path, smoke: Path):
    """As a training does that takes the memory of its first node: the process that decides is killed with it."""
    pipeline = Pipeline(load_recipe(smoke), tmp_path, Console(quiet=True))
    jobs = jobs_folder(pipeline.run_folder.stage("sft").path)
    limit = read_environment().tries
    for restart in range(limit):
        attempting = _Attempting(pipeline, "sft", read_environment(), Allocation(12, restart, ("n1",), "gpu"))
        attempting._begin()

    with pytest.raises(
        RunFailedError, match=rf"sft stops: killed .* try {limit} of {limit} \(HERMES_TRIES\)"
    ):
        _Attempting(pipeline, "sft", read_environment(), Allocation(12, limit, ("n1",), "gpu"))._begin()
    assert [one.outcome for one in read_attempts(jobs)] == [Outcome.KILLED] * limit


def test_srun_hands_the_environment_to_the_ranks_whatever_the_site_says():
    assert "--export=ALL" in srun_command(2, ["launch/torchrun.sh"])


def test_outside_of_a_job_an_attempt_says_how_to_submit_one():
    with pytest.raises(
        UserError, match="inside a Slurm job; submit the job with `hermes-train launch RECIPE`"
    ):
        Allocation.of_environment({})
