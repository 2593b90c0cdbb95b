import errno
import fcntl
import json
import multiprocessing
import os
import signal
import socket

import pytest

from data_filters.errors import UserError
from hermes_train.cluster.launching import only_launch
from hermes_train.runs import RunFolder, RunHeldError, StageFolder, StageState, fingerprint


@pytest.fixture
def stage(tmp_path):
    return StageFolder(tmp_path / "sft", "sft")


def test_a_stage_is_done_only_once_its_manifest_is_written(stage):
    inputs = {"recipe.sft.steps": fingerprint(3)}
    assert stage.standing(inputs).state is StageState.MISSING

    stage.begin(inputs)
    assert stage.standing(inputs).state is StageState.INTERRUPTED

    stage.finish(inputs, {"steps": 3}, 1.0)
    assert stage.standing(inputs).state is StageState.DONE


def test_a_stage_that_is_out_of_date_names_what_changed(stage):
    stage.begin({"recipe.sft.steps": "a", "recipe.seed": "b"})
    stage.finish({"recipe.sft.steps": "a", "recipe.seed": "b"}, {}, 1.0)

    standing = stage.standing({"recipe.sft.steps": "changed", "recipe.seed": "b", "file x.jsonl": "new"})

    assert standing.state is StageState.CHANGED
    assert str(standing) == "out of date: file x.jsonl, recipe.sft.steps changed"


def test_an_interrupted_stage_of_the_same_inputs_keeps_its_files_and_one_of_other_inputs_loses_them(stage):
    stage.begin({"recipe.seed": "a"})
    (stage.path / "checkpoint").write_text("steps")

    stage.begin({"recipe.seed": "a"})
    assert (stage.path / "checkpoint").exists()

    stage.begin({"recipe.seed": "b"})
    assert not (stage.path / "checkpoint").exists()


def test_a_run_folder_of_another_recipe_is_refused(tmp_path):
    run = RunFolder(tmp_path / "demo")
    run.open("demo", tmp_path / "demo.yaml", {"name": "demo"})
    run.open("demo", tmp_path / "demo.yaml", {"name": "demo"})

    with pytest.raises(
        UserError, match=r"holds the run of the recipe demo\.yaml \(name: demo\), not of mine\.yaml"
    ):
        run.open("demo", tmp_path / "mine.yaml", {"name": "demo"})


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")

    with pytest.raises(UserError, match="is not empty and is not a run folder"):
        RunFolder(tmp_path).open("demo", tmp_path / "demo.yaml", {"name": "demo"})

    assert [entry.name for entry in tmp_path.iterdir()] == ["letters.txt"]


def test_the_date_of_a_run_stays_when_it_is_opened_again(tmp_path):
    run = RunFolder(tmp_path / "demo")
    run.open("demo", tmp_path / "demo.yaml", {"name": "demo"})
    path = tmp_path / "demo" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "2001-01-01"}))

    run.open("demo", tmp_path / "demo.yaml", {"name": "demo"})

    assert json.loads(path.read_text())["created"] == "2001-01-01"


def _try_to_lock(path, answers):
    try:
        with RunFolder(path).locked():
            answers.put("locked")
    except UserError as error:
        answers.put(str(error))


def test_two_processes_cannot_work_in_one_run(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with RunFolder(tmp_path).locked():
        process = context.Process(target=_try_to_lock, args=(tmp_path, answers))
        process.start()
        process.join()

    told = answers.get(timeout=5)
    assert "another process is at work" in told
    assert f"process {os.getpid()} on {socket.gethostname()}" in told


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_with_what_to_do(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    # Lustre without its option flock, and NFS without lockd, answer in this way; neither can be mounted here.
    monkeypatch.setattr(fcntl, "flock", refuse)

    for held in (RunFolder(tmp_path).locked(), only_launch(tmp_path)):
        with pytest.raises(UserError, match=r"without file locks .* --runs") as raised, held:
            pass
        assert not isinstance(raised.value, RunHeldError)


def test_the_holder_of_a_run_is_named_while_it_holds_it_and_when_it_was_killed(tmp_path):
    run, context = RunFolder(tmp_path), multiprocessing.get_context("fork")
    assert run.holder() is None
    with run.locked():
        assert run.holder().process == os.getpid()
    assert run.holder() is None

    def hold():
        with run.locked():
            os.kill(os.getpid(), signal.SIGKILL)

    killed = context.Process(target=hold)
    killed.start()
    killed.join()
    assert run.holder().process == killed.pid
    with run.locked():
        assert run.holder().process == os.getpid()
