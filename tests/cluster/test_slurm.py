"""What Slurm prints, read; real calls are in tests/slurm."""

from __future__ import annotations

from datetime import datetime

import pytest

from hermes_train.cluster.slurm import job_environment, read_queued_job, read_record, read_usable_nodes


def test_a_waiting_job_is_read() -> None:
    line = "17|ada|PENDING|Dependency|gpu|16||N/A|0:00|1-00:00:00|afterok:16(unfulfilled)|hermes-train /runs/x|x|y"

    job = read_queued_job(line)

    assert (job.job, job.user, job.state, job.reason) == (17, "ada", "PENDING", "Dependency")
    assert (job.nodes, job.node_list, job.start) == (16, "", None)
    assert (job.dependency, job.comment, job.name) == (
        "afterok:16(unfulfilled)",
        "hermes-train /runs/x",
        "x|y",
    )


def test_a_running_job_is_read() -> None:
    line = "18|ada|RUNNING|None|gpu|2|n[1-2]|2026-11-22T09:14:03|1:02|UNLIMITED|(null)|(null)|sft"

    job = read_queued_job(line)

    assert (job.node_list, job.start) == ("n[1-2]", datetime(2026, 11, 22, 9, 14, 3))
    assert (job.dependency, job.comment) == ("", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "JobId=17 JobName=x sft JobState=RUNNING",
            {"JobId": "17", "JobName": "x sft", "JobState": "RUNNING"},
        ),
        (
            "NodeList=n[1-2] ExcNodeList=n3 Restarts=1\n",
            {"NodeList": "n[1-2]", "ExcNodeList": "n3", "Restarts": "1"},
        ),
        (
            "Command=/x/train.sbatch sft -o sft.steps=3 NtasksPerN:B:S:C=1:0:*:*",
            {"Command": "/x/train.sbatch sft -o", "sft.steps": "3", "NtasksPerN:B:S:C": "1:0:*:*"},
        ),
    ],
)
def test_a_record_is_read(line: str, expected: dict[str, str]) -> None:
    assert read_record(line) == expected


def test_a_job_is_told_neither_of_an_outer_jobs_size_nor_of_hosts_without_slurm() -> None:
    kept = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "x", "HERMES_TRIES": "2"}
    hosts = {"HERMES_NODES": "4", "HERMES_RANKS_PER_NODE": "1", "HERMES_RENDEZVOUS": "n1:29500"}
    outer = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SBATCH_ARRAY_INX": "7"}

    assert job_environment(kept | hosts | outer) == kept


NODES = "n1|idle|h100,rack1\nn2|down*|h100\nn3|mixed|h100\nn4|allocated|(null)\nn5|drained|h100\n"


@pytest.mark.parametrize(
    ("constraint", "usable"),
    [
        ("", ["n1", "n3", "n4"]),
        ("h100", ["n1", "n3"]),
        ("h100&rack1", ["n1"]),
        ("a100", []),
        # All nodes of one rack, either, so many of each: no single node tells.
        *((constraint, []) for constraint in ("[rack1|rack2]", "h100|rack1", "h100*2", "[h100*1&rack1*1]")),
    ],
)
def test_only_nodes_that_surely_satisfy_a_jobs_constraint_are_counted(
    constraint: str, usable: list[str]
) -> None:
    assert read_usable_nodes(NODES, constraint) == usable
