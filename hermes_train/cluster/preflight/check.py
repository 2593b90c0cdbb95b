"""The check before step 1, as one process or as one of the ranks of torchrun.

every rank      writes where it is, looks at its host, checks in on the board
rank 0          waits for all, with patience; leaves a note in the run's folder; hands out the agenda
hosts           answer for their clocks, look for the note
every rank      measures bandwidth, where all came
rank 0          judges, writes the record, tells the verdict
"""

from __future__ import annotations

import os
import sys

from hermes_train.cluster.preflight.facts import Arrival
from hermes_train.cluster.preflight.judgement import Outcome
from hermes_train.cluster.preflight.presence import Phase, PresenceFiles, token
from hermes_train.cluster.preflight.task import End, Preflight
from hermes_train.runs import RunFailedError

EXIT_UNFIT = 1


def run_preflight(preflight: Preflight) -> int:
    """Take part in the check; rank 0 shows and writes what was found. Returns the code to end with: 0, or 1 where a
    host is not fit.

    Raises RunFailedError where rank 0's host cannot be reached, and StopSignal.
    """
    files = PresenceFiles(preflight.run_folder.path, token(preflight.environment), preflight.place)
    files.tell(Phase.LOADING)
    # What goes wrong between hosts is told below in a line, and not by C++ in thirty.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    import torch

    try:
        end = _take_part(preflight, files)
    except torch.distributed.DistError as error:
        reason = str(error).splitlines()[0][:200]
        raise RunFailedError(
            f"{preflight.place.in_words()} has lost the host of rank 0, or never reached it ({reason}); does it still "
            "run, and can it be reached from here?"
        ) from error
    files.clear()
    code = EXIT_UNFIT if end.outcome is Outcome.UNFIT else 0
    if end.is_stuck:
        # Python would wait at its end for what hangs.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _take_part(preflight: Preflight, files: PresenceFiles) -> End:
    from hermes_train.cluster.preflight.agenda import CAME
    from hermes_train.cluster.preflight.board import meet, of_rank
    from hermes_train.cluster.preflight.following import follow
    from hermes_train.cluster.preflight.gathering import look_at_host
    from hermes_train.cluster.preflight.leading import lead

    place = preflight.place
    files.tell(Phase.LOOKING)
    own = None
    if place.speaks_for_host:
        own = look_at_host(preflight.loaded, preflight.run_folder.path, preflight.environment)
    files.tell(Phase.MEETING)
    board = meet(place, preflight.patience)
    board.post(of_rank(CAME, place.rank), Arrival(place, own))
    return lead(preflight, board, files) if place.is_main else follow(preflight, board, files)
