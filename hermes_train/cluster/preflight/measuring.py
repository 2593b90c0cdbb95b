"""What hosts find out two at a time: how far their clocks are apart, and whether they see one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from data_filters.files import write_atomically
from hermes_train.cluster.preflight.board import LOOK_SECONDS, Board, of_rank
from hermes_train.cluster.preflight.facts import Clock

EXCHANGES = 5
"""Of clocks with each host; the one with the least delay counts."""

NOTE_SECONDS = 10.0
"""How long a host looks for what the first host wrote. Network file systems may remember for seconds what was not
there."""

_CLOCK_SECONDS = 5.0
"""How long one host's clock is waited for."""
_CLOCK_LOOK_SECONDS = 0.002


def offset(asked: float, told: float, heard: float) -> Clock:
    """Return how far a clock is ahead that told its time between two moments of this one (Cristian's algorithm)."""
    return Clock(told - (asked + heard) / 2, (heard - asked) / 2)


def ask_clocks(board: Board, speakers: Mapping[str, int]) -> dict[str, Clock]:
    """Return the clocks of the hosts that answer; `speakers` are the ranks that speak for them, by host."""
    found = {}
    for host, rank in speakers.items():
        exchanges = []
        for number in range(EXCHANGES):
            asked = time.time()
            board.post(_question(rank, number), asked)
            told = board.read(_answer(rank, number), float, _CLOCK_SECONDS, _CLOCK_LOOK_SECONDS)
            if told is None:
                break
            exchanges.append(offset(asked, told, time.time()))
        if exchanges:
            found[host] = min(exchanges, key=lambda clock: clock.uncertainty)
    return found


def answer_clock(board: Board, rank: int, seconds: float) -> None:
    """Tell the first host the time as often as it asks; stop where it does not ask for so many `seconds`."""
    for number in range(EXCHANGES):
        # Its turn may be long in coming; from then on a look must cost less time than is measured.
        every = _CLOCK_LOOK_SECONDS if number else LOOK_SECONDS
        question = board.read(_question(rank, number), float, seconds, every)
        if question is None:
            return
        board.post(_answer(rank, number), time.time())


def write_note(path: Path, text: str) -> None:
    """Write what the other hosts are to see."""
    with write_atomically(path) as file:
        file.write(text)


def look_for_note(path: Path, text: str, now: Callable[[], float] = time.monotonic) -> tuple[str, float]:
    """Return why this host does not see the note, empty where it does, and how many seconds it looked."""
    started = now()
    while True:
        problem = _note_problem(path, text)
        seconds = now() - started
        if not problem or seconds > NOTE_SECONDS:
            return problem, seconds
        time.sleep(0.1)


def _note_problem(path: Path, text: str) -> str:
    try:
        found = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{path.name} is not there after {NOTE_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if found == text else f"{path.name} has other content"


def _question(rank: int, number: int) -> str:
    return of_rank(f"clock-question/{number}", rank)


def _answer(rank: int, number: int) -> str:
    return of_rank(f"clock-answer/{number}", rank)
