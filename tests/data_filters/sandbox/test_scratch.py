"""The scratch folder on disk, which stands in where no file system can be mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from data_filters.sandbox.scratch import FolderScratch

LEAVE = """
import os
os.chdir(os.sys.argv[1])
open("file", "w").close()
os.symlink("/", "link")
os.makedirs("closed/inner")
open("closed/file", "w").close()
os.chmod("closed/inner", 0)
os.chmod("closed", 0)
for _ in range(1000):
    os.mkdir("deeper-and-deeper"); os.chdir("deeper-and-deeper")
"""


def scratch_in(folder: Path) -> FolderScratch:
    return FolderScratch(str(folder / "scratch"), os.getuid(), os.getgid())


def test_it_is_emptied_however_deep_and_closed_its_folders_are(tmp_path: Path) -> None:
    scratch = scratch_in(tmp_path)
    scratch.prepare()
    subprocess.run([sys.executable, "-c", LEAVE, scratch.path], check=True)

    scratch.prepare()

    assert list(Path(scratch.path).iterdir()) == []


def test_what_a_link_points_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    scratch = scratch_in(tmp_path)
    scratch.prepare()
    (Path(scratch.path) / "link").symlink_to(tmp_path / "precious")

    scratch.remove()

    assert (tmp_path / "precious" / "file").exists()
    assert not Path(scratch.path).exists()


def test_removing_what_was_never_made_is_fine(tmp_path: Path) -> None:
    scratch_in(tmp_path).remove()
