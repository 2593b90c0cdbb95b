"""Training on several GPUs of this machine: torchrun as a child, and what it must be told to let a save be finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from data_filters.errors import RunFailedError, UserError
from hermes_train.training.watch import signals
from hermes_train.training.watch.stage_log import End, EndReason, StageLog

SECONDS_TO_SAVE = "HERMES_SIGNAL_SECONDS"
_DEFAULT_SECONDS = "600"

_LOOK_SECONDS = 0.2


def gpus_here() -> int:
    """Return how many GPUs this process may use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    import torch

    return int(torch.cuda.device_count())


def seconds_to_save() -> int:
    """Return how long torchrun lets ranks finish their step and save, once it was asked to stop, before it kills them:
    $HERMES_SIGNAL_SECONDS, or 600. Its own 30 seconds are less than a large model's save takes.

    Raises UserError where that is no whole number above 0.
    """
    text = os.environ.get(SECONDS_TO_SAVE) or _DEFAULT_SECONDS
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{SECONDS_TO_SAVE} is {text!r}; it has to be a whole number above 0")
    return int(text)


def torchrun_command(ranks: int) -> list[str]:
    """Return the start of a command that runs a module on several ranks of this machine.

    Raises UserError as `seconds_to_save` does.
    """
    handled = ",".join(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", signal.SIGUSR1.name])
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"),
        # Left to itself torchrun dies of SIGUSR1, and its ranks live on unseen.
        f"--signals-to-handle={handled}",
        f"--shutdown-timeout={seconds_to_save()}",
    ]


def run_on_ranks(ranks: int, module: Sequence[str], stage: Path) -> None:
    """Train `stage`, a folder, by running `module`, a module's name and its arguments, on ranks of this machine.

    Raises as `run_launcher` does.
    """
    run_launcher([*torchrun_command(ranks), "-m", *module], stage, f"on {ranks} ranks")


def run_launcher(command: Sequence[str], stage: Path, where: str) -> None:
    """Train `stage`, a folder, by a command that is torchrun or becomes it; `where` says on what, for errors.

    A signal that asks this process to stop goes to the ranks, which save and end; StopSignal is raised when they have.
    Ctrl-C reaches them from the terminal: they are waited for; a second one kills them. Raises StopSignal too when the
    ranks alone were signalled, and RunFailedError when they failed.
    """
    log = StageLog(stage)
    before = _content(log)
    with signals.deferred():
        code = _ended(subprocess.Popen(command))
    if code:
        # torchrun ends with 1 whatever its ranks say: the stage's log knows, unless its last word is an earlier run's.
        told = log.end() if _content(log) != before else None
        end = told or End(EndReason.SILENT, f"torchrun ended with code {code}")
        if end.reason is EndReason.SIGNAL:
            raise signals.StopSignal(end.text)
        raise RunFailedError(f"{stage.name} failed {where}: {end.text}; the output above has more")


def _content(log: StageLog) -> bytes:
    """Return all of a log, nothing where there is none; a stage that begins anew removes it, so its size tells less."""
    return log.path.read_bytes() if log.path.exists() else b""


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return _wait(process)
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        _kill_all(process)


def _wait(process: subprocess.Popen[bytes]) -> int:
    told = False
    while True:
        try:
            return process.wait(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            received = signals.requested()
            if received is not None and not told:
                _tell_ranks(process.pid, received)
                told = True


def _tell_ranks(torchrun: int, received: signal.Signals) -> None:
    """Pass a signal to the ranks, past torchrun: a scheduler may have sent it one already, and at its second signal it
    leaves its ranks alone."""
    for rank in psutil.Process(torchrun).children():
        try:
            rank.send_signal(received)
        except psutil.NoSuchProcess:
            continue


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Leave no rank behind, whatever ended the wait."""
    if process.poll() is not None:
        return
    for child in [*psutil.Process(process.pid).children(recursive=True), process]:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
