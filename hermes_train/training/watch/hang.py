"""Training that has stopped moving: every rank writes where it stands, rank 0 says so in the stage's log, and all end.

A rank that waits for another in a collective waits for as long as the process group allows, and a rank that is stuck
elsewhere for ever. Each rank has a file, `<run>/jobs/<stage>/stacks/rank-<k>.txt` (in a Slurm job one folder deeper, in
that of its try), which tells its node from the start and, once it hangs, where it stands:

    rank 3 on n2, process 4711
    no step for 30 minutes: waits for other ranks in all_reduce (/.../torch/distributed/distributed_c10d.py, line 3057)
    Thread 0x00007f3c (most recent call first):
      File ...

The file is removed by a rank that ends in order. One that is left without stacks is that of a rank which was killed.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data_filters.errors import UserError
from hermes_train.training import ranks
from hermes_train.training.watch.stacks import Place, describe, header, read_stacks, stack_path
from hermes_train.training.watch.stage_log import EndReason, StageLog, node_name
from hermes_train.training.watch.tries import is_superseded, jobs_folder, own_place, stacks_folder

MINUTES = "HERMES_HANG_MINUTES"
"""The variable that says after how many minutes without a step training counts as hung; not set: never."""

_BEFORE_FIRST_STEP = 3
"""How many times as long the time before the first step may be: a save is rehearsed, kernels are compiled."""

_OTHERS_SECONDS = 10.0
"""How long after a rank has written its stacks the others have written theirs."""

_EXIT_CODE = 1


def _seconds(minutes: str | None) -> float | None:
    if not minutes:
        return None
    try:
        seconds = float(minutes) * 60
    except ValueError:
        seconds = 0.0
    # Not-a-number and infinity are read as numbers.
    if not 0 < seconds < float("inf"):
        raise UserError(f"{MINUTES} is {minutes!r}; it has to be a number of minutes above 0")
    return seconds


class HangWatch(TrainerCallback):
    """Waits for signs of life: steps, saves, evaluations. Without one for too long it tells where the rank stands.

    A thread does so while Python runs. Where a library holds the interpreter and never lets go, a thread of
    `faulthandler`'s, which needs no interpreter, writes the stacks a little later and ends the process.
    """

    def __init__(self, stage: Path, log: StageLog) -> None:
        """`stage` is the folder of the stage. Raises UserError where $HERMES_HANG_MINUTES is no number above 0."""
        self._stage = stage
        self._log = log
        self._folder = stacks_folder(jobs_folder(stage), own_place())
        self._seconds = _seconds(os.environ.get(MINUTES))
        self._others_seconds = min(_OTHERS_SECONDS, self._seconds or 0.0)
        self._file: TextIO | None = None
        self._ended = threading.Event()

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Watch within the block; do nothing where $HERMES_HANG_MINUTES is not set."""
        if self._seconds is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = stack_path(self._folder, ranks.rank())
        with path.open("w", encoding="utf-8") as self._file:
            self._write(header(ranks.rank(), node_name(), os.getpid()))
            self.alive(_BEFORE_FIRST_STEP)
            thread = threading.Thread(target=self._watch, name="hang watch", daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._ended.set()
                faulthandler.cancel_dump_traceback_later()
                thread.join()
                path.unlink(missing_ok=True)

    def alive(self, times: int = 1) -> None:
        """Note a sign of life; the next may take `times` as long as usual."""
        if self._seconds is None or self._file is None or self._ended.is_set():
            return
        limit = times * self._seconds
        self._deadline = time.monotonic() + limit
        # Later than the thread, by all that it may wait for.
        faulthandler.dump_traceback_later(limit + 4 * self._others_seconds, exit=True, file=self._file)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note a sign of life, as the others do."""
        self.alive()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """See on_step_end."""
        self.alive()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """See on_step_end: held-out documents are read between two steps."""
        self.alive()

    def _watch(self) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            if self._ended.wait(left):
                return
        self._tell()

    def _tell(self) -> None:
        """Write the stacks and end this process; rank 0 looks at all of them first, or rank 1 where rank 0 cannot."""
        assert self._seconds is not None and self._file is not None, "the thread runs only on duty"
        told = f"no step for {self._seconds / 60:g} minutes"
        self._write(f"{told}: {_place_of_main_thread()}")
        faulthandler.dump_traceback(file=self._file, all_threads=True)
        os.fsync(self._file.fileno())
        rank = ranks.rank()
        time.sleep(self._others_seconds * (1 + min(rank, 2)))
        if rank < 2 and not is_superseded(self._stage):
            stacks = read_stacks(self._folder)
            self._log.close(EndReason.HUNG, f"{told}; {describe(stacks, ranks.world_size(), self._folder)}")
        # Not sys.exit: that would wait for threads, and the main one is stuck.
        os._exit(_EXIT_CODE)

    def _write(self, line: str) -> None:
        assert self._file is not None, "lines are written only on duty"
        self._file.write(line + "\n")
        self._file.flush()


def _place_of_main_thread() -> Place:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return Place.of_stack(traceback.extract_stack(frame))
