"""How a try ended, from what it left: srun's exit code, the last word in the stage's log, the stacks of its ranks."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_train.cluster.attempts.allocation import Standing
from hermes_train.cluster.attempts.decision import Ending, Outcome
from hermes_train.cluster.preflight.record import Record
from hermes_train.training.watch.stacks import RankStack, describe, nodes_of, waited_for
from hermes_train.training.watch.stage_log import End, EndReason

_WRONG_USE = 2
_ALL_UP_SECONDS = 120.0
"""A host that has not come up by then does not come."""
_TELLER = re.compile(r"rank \d+ on (?P<node>\S+): ")

_OWN_FAULTS = (EndReason.ERROR, EndReason.LOSS, EndReason.DISK, EndReason.CTRL_C, EndReason.FINISHED)
"""FINISHED without a manifest: it could not be written."""


@dataclass(frozen=True)
class Evidence:
    """What is seen when the ranks have ended."""

    is_done: bool
    """The stage's manifest is there."""
    standing: Standing
    code: int
    """srun's."""
    asked: str | None
    """The signal that the try was asked to stop with."""
    last_word: End | None
    """The ranks', in this try."""
    stacks: Mapping[int, RankStack]
    """Of the ranks that have not ended in order."""
    stacks_folder: Path
    rank_count: int
    node_count: int


def ending(seen: Evidence) -> Ending:
    """Return how the ranks ended, and which nodes are to blame where that can be told."""
    if seen.is_done:
        return Ending(Outcome.DONE, "the stage is done")
    word = seen.last_word or End(EndReason.SILENT, f"the ranks ended with code {seen.code} and left no word")
    if seen.standing is not Standing.RUNS:
        return Ending(Outcome.TAKEN, f"Slurm ended the job; {word.text}")
    if word.reason is EndReason.SIGNAL:
        return Ending(Outcome.STOPPED, word.text)
    if word.reason is EndReason.HUNG or any(stack.place for stack in seen.stacks.values()):
        told = word.text
        if word.reason is not EndReason.HUNG:
            # Whatever the ranks stood in never let go of the interpreter, so that they left no word.
            told = f"no step for too long; {describe(seen.stacks, seen.rank_count, seen.stacks_folder)}"
        return Ending(Outcome.HUNG, told, nodes_of(seen.stacks, waited_for(seen.stacks, seen.rank_count)))
    if word.reason is EndReason.MACHINE:
        teller = _TELLER.match(word.text)
        return Ending(Outcome.MACHINE, word.text, (teller["node"],) if teller else ())
    if word.reason is EndReason.ERROR and seen.asked:
        # The signal reaches what the ranks have started as well, a compiler for one. An error that is their own comes
        # back in the next try.
        return Ending(Outcome.STOPPED, f"stopped by {seen.asked}, and ended with an error: {word.text}")
    if word.reason in _OWN_FAULTS:
        return Ending(Outcome.FAILED, word.text)
    if word.reason is EndReason.SILENT and seen.asked:
        return Ending(Outcome.STOPPED, f"stopped by {seen.asked} before the training had begun")
    if word.reason is EndReason.SILENT and seen.code == _WRONG_USE:
        return Ending(
            _not_started(seen.node_count), "the ranks could not be started; the lines above say why"
        )
    return Ending(Outcome.RANK_LOST, word.text, _killed_nodes(seen))


def _not_started(node_count: int) -> Outcome:
    """Return how a try ends whose script told of wrong use on some node.

    The first node has run the same lines already, for the try itself. On another, files are not mounted or a module is
    not there.
    """
    return Outcome.FAILED if node_count == 1 else Outcome.UNFIT


def _killed_nodes(seen: Evidence) -> tuple[str, ...]:
    """Return the node whose ranks alone could not end in order.

    Where those of several could not, srun has ended them all when the first was gone, and which that was is not known.
    """
    nodes = nodes_of(seen.stacks, tuple(seen.stacks))
    return nodes if len(nodes) == 1 else ()


def absent(nodes: Sequence[str], came: Collection[str], seconds: float) -> tuple[str, ...]:
    """Return the nodes that kept the others waiting: the launchers of those that `came` have met.

    A step that ends soon has ended on all nodes when the first failed, and some may not have come so far: only one that
    is missing alone is known to be at fault then. Where nobody came, no node is.
    """
    missing = tuple(node for node in nodes if node not in came)
    if len(missing) == len(nodes):
        return ()
    return missing if seconds > _ALL_UP_SECONDS or len(missing) == 1 else ()


def unfitness(record: Record | None, code: int, nodes: Sequence[str], missing: tuple[str, ...]) -> Ending:
    """Return how a try ends whose check of the nodes ended with a code that is not 0.

    `missing` are nodes whose launcher never came up, which the check itself cannot tell.
    """
    if record is None:
        if code == _WRONG_USE:
            told = "the nodes could not be checked; the lines above say why"
            return Ending(_not_started(len(nodes)), told, missing)
        told = f"{', '.join(missing)} did not come up, and " if missing else ""
        return Ending(
            Outcome.UNFIT, f"{told}the check of the nodes ended with code {code} and no findings", missing
        )
    if record.no_room:
        return Ending(Outcome.FAILED, record.no_room)
    unfit = record.unfit_hosts
    lines = record.lines()
    text = (
        f"not fit for training: {'; '.join(lines)}"
        if lines
        else "the check of the nodes failed; the lines above say why"
    )
    if len(nodes) > 1 and unfit.keys() >= set(nodes):
        # Other nodes would be no better: what all of them lack is what the recipe or the site asks for.
        return Ending(Outcome.FAILED, text)
    return Ending(Outcome.UNFIT, text, tuple(sorted(unfit.keys() & set(nodes))))
