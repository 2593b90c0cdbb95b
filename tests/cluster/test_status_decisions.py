"""What `hermes-train status` concludes: where a stage stands, why a job waits, what to do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hermes_train.cluster.attempts.decision import Outcome
from hermes_train.cluster.attempts.record import Attempt
from hermes_train.cluster.status.advice import Commands, advise
from hermes_train.cluster.status.jobs import made_since
from hermes_train.cluster.status.reasons import why_it_ended, why_it_waits
from hermes_train.cluster.status.records import (
    JobPlace,
    JobsStatus,
    JobStatus,
    Movement,
    Next,
    Queue,
    Remedy,
    StageStatus,
    Standing,
    Worker,
)
from hermes_train.cluster.status.stages import stage_standing
from hermes_train.cluster.status.training import movement

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("is_done", "is_begun", "worker", "has_last_word", "quiet", "expected"),
    [
        (True, True, Worker.JOB, False, SECOND, Standing.DONE),
        (False, False, Worker.UNKNOWN, False, None, Standing.MISSING),
        (None, False, Worker.UNKNOWN, False, SECOND, Standing.UNKNOWN),
        (None, False, Worker.JOB, False, None, Standing.AT_WORK),
        # Its job runs, and its ranks are still starting.
        (False, False, Worker.JOB, False, None, Standing.AT_WORK),
        # The next try is at work; the last word is that of the one before.
        (False, True, Worker.JOB, True, HOUR, Standing.AT_WORK),
        (False, True, Worker.PROCESS, False, HOUR, Standing.AT_WORK),
        (False, True, Worker.NOBODY, False, SECOND, Standing.INTERRUPTED),
        (False, True, Worker.UNKNOWN, True, SECOND, Standing.INTERRUPTED),
        (False, True, Worker.UNKNOWN, False, SECOND, Standing.AT_WORK),
        (False, True, Worker.UNKNOWN, False, HOUR, Standing.UNKNOWN),
    ],
)
def test_where_a_stage_stands(
    is_done: bool | None,
    is_begun: bool,
    worker: Worker,
    has_last_word: bool,
    quiet: timedelta | None,
    expected: Standing,
) -> None:
    assert stage_standing(is_done, is_begun, worker, has_last_word, quiet) is expected


@pytest.mark.parametrize(
    ("is_at_work", "step_seconds", "quiet", "expected"),
    [
        (False, 1.0, HOUR, Movement.ENDED),
        (True, None, 19 * MINUTE, Movement.BEGINS),
        (True, None, 21 * MINUTE, Movement.STILL),
        (True, 1.0, 4 * MINUTE, Movement.MOVES),
        (True, 1.0, 6 * MINUTE, Movement.STILL),
        (True, 60.0, 9 * MINUTE, Movement.MOVES),
        (True, 60.0, 11 * MINUTE, Movement.STILL),
    ],
)
def test_a_stage_is_still_after_the_time_of_ten_steps_but_never_within_that_of_a_save(
    is_at_work: bool, step_seconds: float | None, quiet: timedelta, expected: Movement
) -> None:
    assert movement(is_at_work, step_seconds, quiet) is expected


@pytest.mark.parametrize(
    ("reason", "words", "remedy"),
    [
        ("Priority", "higher priority", Remedy.TIME),
        ("(Resources)", "enough nodes to be free", Remedy.TIME),
        ("ReqNodeNotAvail, UnavailableNodes:n[3-4]", "drained or reserved: n[3-4]", Remedy.SITE),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "down, drained or reserved",
            Remedy.SITE,
        ),
        ("PartitionTimeLimit", "longer than the partition allows", Remedy.USER),
        ("QOSMaxWallDurationPerJobLimit", "longer than the QOS allows", Remedy.USER),
        ("QOSMaxGRESPerUser", "more than the QOS allows one user", Remedy.TIME),
        ("QOSGrpNodeLimit", "all users of the QOS", Remedy.TIME),
        ("AssocGrpGRES", "all users of your account", Remedy.TIME),
        ("SomethingNew", "Slurm says SomethingNew", Remedy.SITE),
    ],
)
def test_a_reason_of_slurm_is_told_in_words_with_who_can_mend_it(
    reason: str, words: str, remedy: Remedy
) -> None:
    why = why_it_waits(reason)

    assert words in why.text
    assert why.remedy is remedy


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("FAILED", "NonZeroExitCode", "it ended with an error"),
        ("TIMEOUT", "TimeLimit", "it ran out of time"),
        ("CANCELLED", "Dependency", "it was cancelled"),
        ("REVOKED", "None", "Slurm says REVOKED"),
    ],
)
def test_the_end_of_a_job_is_told_in_words(state: str, reason: str, words: str) -> None:
    assert why_it_ended(state, reason) == words


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("manifest", "launch", "expected"),
    [(NOON + HOUR, NOON, True), (NOON - HOUR, NOON, False), (None, NOON, False), (NOON, None, False)],
)
def test_only_what_was_made_since_the_launch_is_its_jobs_work(
    manifest: datetime | None, launch: datetime | None, expected: bool
) -> None:
    assert made_since(manifest, launch) is expected


def job(place: JobPlace, **fields: object) -> JobStatus:
    known = {
        "stage": "sft", "job": 12, "place": place, "state": "", "reason": "", "because": "", "remedy": None,
        "nodes": "", "number_of_nodes": None, "elapsed": "", "time_limit": "", "expected_start": None,
        "log": "jobs/sft/12.log",
    }  # fmt: skip
    return JobStatus(**(known | fields))  # type: ignore[arg-type]  # the fields of a job


ATTEMPT = Attempt(
    job=12, restart=2, nodes=("n1",), started="", ended="", from_step=0, to_step=0, outcome=Outcome.HUNG,
    text="3 tries without a new checkpoint",
)  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "tries", "next_", "words"),
    [
        ((), (), Next.GO_ON, "go on with sft: LAUNCH"),
        ((job(JobPlace.WAITS, because="jobs are before it"),), (), Next.WAIT, "job 12 (sft) is in the queue: jobs are"),
        ((job(JobPlace.NEVER_STARTS),), (), Next.MEND, "scancel 12, and then LAUNCH"),
        ((job(JobPlace.WAITS, reason="JobHeldUser"),), (), Next.GO_ON, "scontrol release 12"),
        ((job(JobPlace.WAITS, because="too long", remedy=Remedy.USER),), (), Next.MEND, "cannot start: too long"),
        ((job(JobPlace.FAILED, state="FAILED", because="oom"),), (), Next.MEND, "oom; its output is jobs/sft/12"),
        ((job(JobPlace.FAILED, state="FAILED"),), (ATTEMPT,), Next.MEND, "3 tries without a new checkpoint"),
        ((job(JobPlace.FAILED, state="CANCELLED"),), (), Next.GO_ON, "go on with sft: LAUNCH"),
    ],
)  # fmt: skip
def test_what_to_do_next_where_nobody_is_at_work(
    jobs: tuple[JobStatus, ...], tries: tuple[Attempt, ...], next_: Next, words: str
) -> None:
    stages = [
        StageStatus("pack", Standing.DONE, 1.0, None, ""),
        StageStatus("sft", Standing.INTERRUPTED, None, None, ""),
    ]
    queue = JobsStatus(Queue.ASKED, "", None, jobs)

    advice = advise("runs/x", stages, None, queue, {"sft": tries}, Commands("LAUNCH", "STATUS"))

    assert advice.next is next_
    assert words in advice.text
