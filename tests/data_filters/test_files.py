"""Files appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_filters.files import is_left_aside, read_jsonl, write_atomically, write_folder_whole, write_jsonl


def test_a_written_file_appears_with_all_its_text(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "deep" / "notes.txt") as file:
        file.write("whole – and in UTF-8")

    assert (tmp_path / "deep" / "notes.txt").read_text(encoding="utf-8") == "whole – and in UTF-8"


def test_an_error_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "notes.txt"
    target.write_text("old")

    with pytest.raises(RuntimeError), write_atomically(target) as file:
        file.write("half of the ne")
        raise RuntimeError

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_at_the_path_before_the_writing_ends(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "notes.txt", "wb") as file:
        file.write(b"x")
        assert not (tmp_path / "notes.txt").exists()


def test_a_mode_other_than_w_and_wb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a'"), write_atomically(tmp_path / "notes.txt", "a"):
        pass


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_read_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    rows = [{"a": 1}, {"b": "ü\n"}, {}]

    assert write_jsonl(tmp_path / name, rows) == 3

    assert list(read_jsonl(tmp_path / name)) == rows


def test_packed_rows_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.gz", [{"a": 1}])
    write_jsonl(tmp_path / "b.gz", [{"a": 1}])

    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    model = tmp_path / "model"
    for text in ("first", "second"):
        with write_folder_whole(model) as aside:
            (aside / "file").write_text(text)
        assert (model / "file").read_text() == text

    with pytest.raises(KeyError), write_folder_whole(model) as aside:
        (aside / "file").write_text("third")
        raise KeyError
    assert (model / "file").read_text() == "second"

    with write_folder_whole(model) as aside:
        assert not any(aside.iterdir()), "nothing is left of what was cut off"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_process_killed_while_it_fills_a_folder_leaves_the_old_one(tmp_path: Path) -> None:
    model = tmp_path / "model"
    with write_folder_whole(model) as aside:
        (aside / "file").write_text("old")
    program = (
        "import os, pathlib, sys\n"
        "from data_filters.files import write_folder_whole\n"
        "with write_folder_whole(pathlib.Path(sys.argv[1])) as aside:\n"
        "    (aside / 'file').write_text('new')\n"
        "    os.kill(os.getpid(), 9)\n"
    )

    killed = subprocess.run([sys.executable, "-c", program, str(model)], check=False)

    assert killed.returncode == -9
    assert (model / "file").read_text() == "old"


def test_a_process_killed_while_it_removes_a_folder_leaves_no_part_of_it_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).touch()
    program = (
        "import os, pathlib, shutil, sys\n"
        "from data_filters.files import remove_folder_whole\n"
        "def remove_one_and_die(path, **options):\n"
        "    next(pathlib.Path(path).iterdir()).unlink()\n"
        "    os._exit(9)\n"
        "shutil.rmtree = remove_one_and_die\n"
        "remove_folder_whole(pathlib.Path(sys.argv[1]))\n"
    )

    assert subprocess.run([sys.executable, "-c", program, str(folder)], check=False).returncode == 9

    assert not folder.exists()
    (left,) = tmp_path.iterdir()
    assert is_left_aside(left.name, "shards")
