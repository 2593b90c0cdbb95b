"""A rank's part in what ranks do together, and the way of a rank that is not the first."""

from __future__ import annotations

from hermes_train.cluster.preflight.agenda import (
    AGENDA,
    MEASURED,
    READ,
    SAW,
    VERDICT,
    Agenda,
    Measured,
    Sight,
    Verdict,
)
from hermes_train.cluster.preflight.bandwidth import BandwidthCheck
from hermes_train.cluster.preflight.board import Board, of_rank
from hermes_train.cluster.preflight.facts import Speed
from hermes_train.cluster.preflight.measuring import NOTE_SECONDS, answer_clock, look_for_note
from hermes_train.cluster.preflight.presence import Phase, PresenceFiles
from hermes_train.cluster.preflight.task import End, Preflight
from hermes_train.runs import RunFailedError

SLACK_SECONDS = 10.0
"""What one rank grants another beyond what was agreed."""


def follow(preflight: Preflight, board: Board, files: PresenceFiles) -> End:
    """Do what rank 0 asks for and hear its verdict. Raises RunFailedError where it says nothing."""
    place, patience = preflight.place, preflight.patience
    agenda = board.read(AGENDA, Agenda, 2 * patience + SLACK_SECONDS)
    if agenda is None:
        raise _silent(preflight, 2 * patience + SLACK_SECONDS)
    files.tell(Phase.TOGETHER)
    if place.speaks_for_host:
        answer_clock(board, place.rank, patience)
        if agenda.note:
            problem, seconds = look_for_note(files.folder / agenda.note, agenda.text)
            board.post(of_rank(SAW, place.rank), Sight(problem, seconds))
    speed, is_stuck = measure(preflight, board, agenda)
    board.post(of_rank(MEASURED, place.rank), Measured(speed))
    verdict = board.read(VERDICT, Verdict, patience + NOTE_SECONDS + SLACK_SECONDS)
    if verdict is None:
        raise _silent(preflight, patience + NOTE_SECONDS + SLACK_SECONDS)
    board.post(of_rank(READ, place.rank), True)
    return End(verdict.outcome, is_stuck)


def measure(preflight: Preflight, board: Board, agenda: Agenda) -> tuple[Speed | None, bool]:
    """Return what this rank measured with the others, None where that is not asked for, and whether it is stuck."""
    if not agenda.backend:
        return None, False
    check = BandwidthCheck(preflight.place, agenda.hosts, agenda.backend, board.store)
    return check.measure(preflight.patience), check.is_stuck


def _silent(preflight: Preflight, seconds: float) -> RunFailedError:
    main = preflight.environment.get("MASTER_ADDR", "its host")
    return RunFailedError(f"{preflight.place.in_words()} heard nothing of rank 0 on {main} in {seconds:g} s")
