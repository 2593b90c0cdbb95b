import errno
import os
import socket

import pytest
from small_disk import files_of_at_most

from data_filters.errors import UserError
from hermes_train.training.watch.line_file import LineFile
from hermes_train.training.watch.signals import StopSignal
from hermes_train.training.watch.stage_log import DiskFullError, EndReason, Entry, LossStoppedError, StageLog

ENDINGS = [
    (
        StopSignal("stopped by SIGUSR1 after step 7, which is saved"),
        EndReason.SIGNAL,
        "stopped by SIGUSR1 after",
    ),
    (KeyboardInterrupt(), EndReason.CTRL_C, "stopped by Ctrl-C"),
    (LossStoppedError("the loss is nan"), EndReason.LOSS, "the loss is nan"),
    (DiskFullError("no room"), EndReason.DISK, "no room"),
    (OSError(errno.ENOSPC, "No space left on device"), EndReason.DISK, "[Errno 28] No space left"),
    (UserError("no such file"), EndReason.ERROR, "no such file"),
    (
        ValueError("first line\nsecond"),
        EndReason.ERROR,
        f"rank 3 on {socket.gethostname()}: ValueError: first line sec",
    ),
]

RUNTIME_ERRORS = [
    ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`", EndReason.MACHINE),
    ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", EndReason.MACHINE),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", EndReason.ERROR),
    ("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`", EndReason.ERROR),
    ("the shapes differ, not for a CUDA error", EndReason.ERROR),
]


@pytest.mark.parametrize(("error", "reason", "text"), ENDINGS, ids=lambda value: type(value).__name__)
def test_the_last_line_says_why_a_stage_ended(tmp_path, error, reason, text):
    log = StageLog(tmp_path)
    log.open(Entry.START, "sft on 4 ranks")

    with pytest.raises(type(error)), log.last_word(3):
        raise error

    assert log.end().reason is reason
    assert log.end().text.startswith(text)
    assert log.path.read_text().splitlines()[-1].split(" ", 1)[1].startswith(f"end ({reason}): {text}")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ESTALE, EndReason.MACHINE),
        (errno.EIO, EndReason.MACHINE),
        (errno.ETIMEDOUT, EndReason.MACHINE),
        (errno.EDQUOT, EndReason.DISK),
        (errno.ENOENT, EndReason.ERROR),
    ],
)
def test_a_node_that_lost_its_files_is_told_from_a_file_that_is_not_there(tmp_path, number, reason):
    log = StageLog(tmp_path)

    with pytest.raises(OSError, match="packs"), log.last_word(1):
        raise OSError(number, os.strerror(number), "packs/rows.bin")

    assert log.end().reason is reason


@pytest.mark.parametrize(("text", "reason"), RUNTIME_ERRORS)
def test_errors_of_the_libraries_of_cuda_are_those_of_a_gpu_that_gave_up(tmp_path, text, reason):
    log = StageLog(tmp_path)

    with pytest.raises(RuntimeError), log.last_word(1):
        raise RuntimeError(text)

    assert log.end().reason is reason


def test_the_first_reason_stays(tmp_path):
    log = StageLog(tmp_path)
    log.open(Entry.START, "sft on 2 ranks")

    log.close(EndReason.ERROR, "rank 1 on node-7: RuntimeError: out of memory")
    log.close(EndReason.ERROR, "rank 0 on node-3: RuntimeError: connection closed by peer")

    assert log.end().text == "rank 1 on node-7: RuntimeError: out of memory"


def test_a_process_that_left_no_word_is_told_of_by_the_next(tmp_path):
    StageLog(tmp_path).open(Entry.START, "sft on 2 ranks")
    StageLog(tmp_path).open(Entry.START, "sft on 2 ranks")

    kinds = [
        line.split(" ", 1)[1].partition(":")[0] for line in (tmp_path / "log.txt").read_text().splitlines()
    ]
    assert kinds == ["start", "end (silent)", "start"]
    assert StageLog(tmp_path).end() is None


def test_a_stage_that_has_not_begun_has_no_end(tmp_path):
    assert StageLog(tmp_path).end() is None


def test_a_line_without_room_comes_before_the_next_that_has_some(tmp_path):
    log = StageLog(tmp_path)
    log.open(Entry.START, "sft on 2 ranks")

    with files_of_at_most(log.path.stat().st_size + 10):
        log.write(Entry.WARNING, "no room for a checkpoint")
        kept = log.path.read_text()
    log.close(EndReason.DISK, "still no room")

    # A part of the warning found room, and did not stay.
    assert [line.split(" ", 1)[1] for line in kept.splitlines()] == ["start: sft on 2 ranks"]
    assert [line.split(" ", 1)[1] for line in log.path.read_text().splitlines()] == [
        "start: sft on 2 ranks",
        "warning: no room for a checkpoint",
        "end (disk): still no room",
    ]


def test_where_there_is_no_room_for_the_last_line_the_error_itself_is_what_is_seen(tmp_path):
    log = StageLog(tmp_path)

    with pytest.raises(DiskFullError, match="no room"), files_of_at_most(0), log.last_word(0):
        raise DiskFullError("no room")


def test_held_lines_are_written_when_asked(tmp_path):
    lines = LineFile(tmp_path / "metrics.jsonl")
    with files_of_at_most(0):
        lines.add('{"step": 1}')

    lines.write_held()
    lines.write_held()

    assert lines.path.read_text() == '{"step": 1}\n'


def test_a_line_that_fails_for_another_reason_is_an_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        LineFile(tmp_path / "file" / "metrics.jsonl").add("{}")
