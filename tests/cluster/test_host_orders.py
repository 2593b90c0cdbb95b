"""How hosts without Slurm keep together: what one does next, and two that speak through a real folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from data_filters.errors import RunFailedError, UserError
from hermes_train.cluster import host_orders
from hermes_train.cluster.host_orders import (
    SILENCE_SECONDS,
    FirstHost,
    Move,
    Order,
    OtherHost,
    State,
    next_move,
)


def order(state: State = State.AT_WORK, together: tuple[str, ...] = (), recipe: str = "r") -> Order:
    return Order(3, state, "pack", recipe, together, ("h2", "h3"))


@pytest.mark.parametrize(
    ("latest", "parts", "silent", "move"),
    [
        (None, 0, 0, Move.WAIT_FOR_FIRST),
        (order(), 0, 0, Move.WAIT),
        (order(together=("sft",)), 0, 0, Move.TAKE_PART),
        (order(together=("sft",)), 1, 0, Move.WAIT),
        (order(together=("sft", "hybrid")), 1, 0, Move.TAKE_PART),
        # All is done, but this host has not seen yet that it was to take part.
        (order(State.DONE, ("sft",)), 0, 0, Move.TAKE_PART),
        (order(State.DONE, ("sft",)), 1, 0, Move.DONE),
        (order(State.FAILED, ("sft",)), 0, 0, Move.FAILED),
        (order(recipe="other"), 0, 0, Move.OTHER_RECIPE),
        (order(), 0, SILENCE_SECONDS + 1, Move.LOST),
    ],
)
def test_what_a_host_does_follows_from_the_latest_order(
    latest: Order | None, parts: int, silent: float, move: Move
) -> None:
    assert next_move(latest, "h2", "r", parts, silent) is move


@pytest.mark.parametrize("state", State)
def test_an_order_that_has_not_seen_this_host_is_an_earlier_runs(state: State) -> None:
    assert next_move(order(state), "h4", "r", 0, 0) is Move.WAIT_FOR_FIRST


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that look more often."""
    monkeypatch.setattr(host_orders, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(host_orders, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shared folder, in which an earlier run has left its last word and a name."""
    left = tmp_path / "smoke" / "jobs" / "hosts"
    earlier = FirstHost(left, "r", 1, print)
    with earlier.at_work():
        (left / "h9-1-aaaa.host").touch()
    return left


def follow(other: OtherHost) -> tuple[threading.Thread, list[str], list[Exception]]:
    """Have the other host follow in a thread; returns what it takes part in, and what it ends by."""
    parts: list[str] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            other.follow(parts.append)
        except (UserError, RunFailedError) as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, parts, errors


def test_the_other_hosts_take_part_in_what_the_first_begins_and_end_with_it(
    quick: None, folder: Path
) -> None:
    threads = [follow(OtherHost(folder, "r", "h1", print)) for _ in range(2)]
    first = FirstHost(folder, "r", 2, print)
    with first.at_work():
        first.turn_to("pack")
        first.begin_together("preflight")
        first.begin_together("sft")
    for thread, parts, errors in threads:
        thread.join(10)
        assert parts == ["preflight", "sft"] and errors == []


def test_where_the_first_host_fails_the_others_end_and_say_why(quick: None, folder: Path) -> None:
    thread, _, errors = follow(OtherHost(folder, "r", "h1", print))
    first = FirstHost(folder, "r", 1, print)
    with pytest.raises(RunFailedError), first.at_work():
        first.begin_together("sft")
        raise RunFailedError("pack ended with code 1")
    thread.join(10)

    assert [str(error) for error in errors] == ["ended, since h1 failed: pack ended with code 1"]


def test_a_host_that_makes_something_else_is_refused(quick: None, folder: Path) -> None:
    thread, _, errors = follow(OtherHost(folder, "another", "h1", print))
    first = FirstHost(folder, "r", 1, print)
    with first.at_work():
        first.begin_together("sft")
    thread.join(10)

    assert isinstance(errors[0], UserError) and "start the same command on every host" in str(errors[0])


def test_a_first_host_that_falls_silent_is_not_waited_for(
    quick: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_orders, "SILENCE_SECONDS", 0.3)
    first = FirstHost(folder, "r", 1, print)
    monkeypatch.setattr(first, "_beat", lambda: None)
    thread, _, errors = follow(OtherHost(folder, "r", "h1", print))
    with first.at_work():
        first.turn_to("filter")
        while not errors and thread.is_alive():
            # One word, when the other has come, and none after it.
            if not first._order.seen:
                first.turn_to("filter")
            thread.join(0.02)

    assert "has given no sign of life" in str(errors[0]) and "filter" in str(errors[0])


def test_hosts_whose_folder_is_not_shared_say_so_on_both_sides(
    quick: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_orders, "PATIENCE_SECONDS", 0.3)
    thread, _, errors = follow(OtherHost(tmp_path / "elsewhere" / "smoke" / "hosts", "r", "h1", print))
    first = FirstHost(folder, "r", 1, print)
    with (
        pytest.raises(
            UserError, match=r"1 other hosts are awaited, 0 have come \(none\).*not a shared folder"
        ),
        first.at_work(),
    ):
        first.begin_together("sft")
    thread.join(10)

    assert "the folder is not shared with it" in str(errors[0])
