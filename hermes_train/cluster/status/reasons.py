"""Slurm's reasons, in words: why a job waits, what it failed of, and who can do something about it."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_train.cluster.status.records import Remedy


@dataclass(frozen=True)
class Explanation:
    """A reason of Slurm's in words, and who can end the wait."""

    text: str
    remedy: Remedy


_TIME, _USER, _SITE = Remedy.TIME, Remedy.USER, Remedy.SITE

WAITING = {
    "None": Explanation("Slurm has not looked at it yet", _TIME),
    "Priority": Explanation("jobs of a higher priority are before it", _TIME),
    "Resources": Explanation("it is next, and waits for enough nodes to be free", _TIME),
    "Dependency": Explanation("it waits for the job before it", _TIME),
    "DependencyNeverSatisfied": Explanation("the job that it waits for failed or was cancelled", _USER),
    "BeginTime": Explanation("it may not start yet: Slurm lets a requeued job wait for two minutes", _TIME),
    "Cleaning": Explanation("its last try is still being cleaned up", _TIME),
    "JobHeldUser": Explanation("it is held", _USER),
    "JobHeldAdmin": Explanation("an administrator holds it", _SITE),
    "job_requeued_in_held_state": Explanation("it was requeued and is held", _USER),
    "launch_failed_requeued_held": Explanation(
        "Slurm could not start it on its node, requeued it and holds it", _USER
    ),
    "JobHoldMaxRequeue": Explanation("it was requeued too often (MaxBatchRequeue) and is held", _USER),
    "PartitionTimeLimit": Explanation("its time limit is longer than the partition allows", _USER),
    "PartitionNodeLimit": Explanation(
        "it asks for more nodes than the partition has or allows, or these are down", _USER
    ),
    "PartitionConfig": Explanation("it asks for more than the partition has", _USER),
    "PartitionDown": Explanation("its partition is down", _SITE),
    "PartitionInactive": Explanation("its partition starts no jobs now", _SITE),
    "NodeDown": Explanation("a node that it needs is down", _SITE),
    "BadConstraints": Explanation(
        "no node is as its options ask (HERMES_CONSTRAINT, GPUs of a node, memory)", _USER
    ),
    "FeatureNotAvailable": Explanation("no free node has the feature of HERMES_CONSTRAINT", _TIME),
    "AccountNotAllowed": Explanation("its account may not use the partition", _USER),
    "InvalidAccount": Explanation("there is no such account (HERMES_ACCOUNT)", _USER),
    "InvalidQOS": Explanation("there is no such QOS (HERMES_QOS)", _USER),
    "QOSNotAllowed": Explanation("its QOS may not be used in the partition", _USER),
    "QOSTimeLimit": Explanation("the QOS has used up its time", _SITE),
    "Licenses": Explanation("it waits for a licence", _TIME),
    "Reservation": Explanation("it waits for its reservation to begin", _TIME),
    "ReservationDeleted": Explanation("its reservation is gone", _USER),
    "Prolog": Explanation("its nodes are being made ready", _TIME),
    "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions": Explanation(
        "nodes that it needs are down, drained or reserved", _SITE
    ),
}
"""By the words that squeue prints (%r)."""

WAITING_BY_START = {
    "ReqNodeNotAvail": Explanation("nodes that it needs are down, drained or reserved", _SITE),
    "QOSMaxWall": Explanation("its time limit is longer than the QOS allows", _USER),
    "QOSMin": Explanation("it asks for less than the QOS demands", _USER),
    "QOSMaxJobs": Explanation("you have as many jobs as the QOS allows", _TIME),
    "QOSMax": Explanation("with it you would hold more than the QOS allows one user", _TIME),
    "QOSGrp": Explanation("all users of the QOS together hold what it allows", _TIME),
    "QOSUsage": Explanation("the QOS has used up what it was given", _SITE),
    "AssocMaxWall": Explanation("its time limit is longer than your account allows", _USER),
    "AssocMaxJobs": Explanation("you have as many jobs as your account allows", _TIME),
    "AssocMax": Explanation("with it you would hold more than your account allows one user", _TIME),
    "AssocGrp": Explanation(
        "all users of your account together hold what it allows, or have used it up", _TIME
    ),
    "MaxJobsPerAccount": Explanation("your account has as many jobs as it may", _TIME),
    "MaxCpuPerAccount": Explanation("your account holds as many cores as it may", _TIME),
    "MaxGRESPerAccount": Explanation("your account holds as many GPUs as it may", _TIME),
    "MaxNodePerAccount": Explanation("your account holds as many nodes as it may", _TIME),
}
"""By how the words begin, the more particular first: Slurm has one for each limit and each resource."""

FAILED = {
    "NonZeroExitCode": "it ended with an error",
    "TimeLimit": "it ran out of time",
    "NodeFail": "a node of it failed",
    "NodeDown": "a node of it went down",
    "OutOfMemory": "it used more memory than it had",
    "JobLaunchFailure": "Slurm could not start it",
    "RaisedSignal": "a signal ended it",
    "Dependency": "the job that it waited for did not end well",
    "DependencyNeverSatisfied": "the job that it waited for did not end well",
}
"""Why a job is at its end, by the start of Slurm's word."""

ENDED = {
    "FAILED": "it failed",
    "CANCELLED": "it was cancelled",
    "TIMEOUT": "it ran out of time",
    "NODE_FAIL": "a node of it failed",
    "OUT_OF_MEMORY": "it used more memory than it had",
    "PREEMPTED": "it had to make room for a job of higher priority",
    "BOOT_FAIL": "its nodes did not start",
    "DEADLINE": "it could not have ended before its deadline",
    "COMPLETED": "it ended well",
}
"""The states of a job that has ended."""


def why_it_waits(reason: str) -> Explanation:
    """Return Slurm's reason for a job that waits, in words; its own word where it is not known here.

    `ReqNodeNotAvail, UnavailableNodes:n1` has the nodes behind the word.
    """
    word, _, rest = reason.strip("()").partition(", ")
    known = WAITING.get(reason.strip("()").replace(" ", "_")) or WAITING.get(word)
    if known is None:
        known = next((found for start, found in WAITING_BY_START.items() if word.startswith(start)), None)
    if known is None:
        return Explanation(f"Slurm says {reason}", _SITE)
    nodes = rest.partition(":")[2]
    return Explanation(f"{known.text}: {nodes}", known.remedy) if nodes else known


def why_it_ended(state: str, reason: str) -> str:
    """Return in words how a job ended, by Slurm's state and reason."""
    particular = next((text for start, text in FAILED.items() if reason.startswith(start)), None)
    # scancel leaves the reason that the job had before.
    return particular if particular and state != "CANCELLED" else ENDED.get(state, f"Slurm says {state}")
