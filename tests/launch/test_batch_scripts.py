"""The batch scripts, as a user submits them by hand: what is wrong is told in one line. Jobs are in tests/slurm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "launch" / "slurm"


def submitted_from(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a batch script as slurmd does: from a copy that bash reads."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HERMES_CHECKOUT", "HERMES_CLUSTER_ENV")
    }
    return subprocess.run(
        ["bash", "-s", *arguments],
        input=(SCRIPTS / script).read_text(),
        env=environment | {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_ID": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("stage.sbatch", [], "name a stage and a recipe: sbatch launch/slurm/stage.sbatch prepare recipes/"),
        (
            "stage.sbatch",
            ["sft", "recipes/smoke.yaml"],
            "sbatch launch/slurm/train.sbatch sft recipes/smoke.yaml",
        ),
        (
            "stage.sbatch",
            ["pak", "recipes/smoke.yaml"],
            "there is no stage pak; of one process are prepare, filter",
        ),
        (
            "train.sbatch",
            ["sft"],
            "name a stage and a recipe: sbatch --nodes=2 launch/slurm/train.sbatch sft",
        ),
        (
            "train.sbatch",
            ["pack", "recipes/smoke.yaml"],
            "sbatch launch/slurm/stage.sbatch pack recipes/smoke.yaml",
        ),
        ("train.sbatch", ["preflight", "recipes/smoke.yaml"], "there is no stage preflight that trains"),
    ],
)
def test_wrong_use_is_told_in_one_line(script: str, arguments: list[str], message: str) -> None:
    done = submitted_from(ROOT, script, *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", ["stage.sbatch", "train.sbatch"])
def test_a_job_that_was_submitted_elsewhere_says_where_from(script: str, tmp_path: Path) -> None:
    done = submitted_from(tmp_path, script, "pack", "recipes/smoke.yaml")

    assert done.returncode == 2
    assert f"error: {tmp_path} is not the folder of hermes-train; submit from there" in done.stderr


def test_a_stage_says_what_is_wrong_with_its_recipe_and_ends_with_its_code(tmp_path: Path) -> None:
    done = submitted_from(
        ROOT, "stage.sbatch", "pack", "recipes/smoke.yaml", "--runs", str(tmp_path), "-o", "sft.x=1"
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: -o sft.x=1: ")


OF_SLURM = """#!/bin/sh
[ "$1" = requeue ] && echo "requeued $2"
[ "$1" = show ] && printf 'JobId=1 Restarts=9\\n   StdOut=%s\\n' "FOLDER/jobs of x/1.log"
exit 0
"""
"""In scontrol's place."""


@pytest.mark.parametrize(("stage", "limits"), [("filter", 20), ("evaluate", 3)])
def test_a_stage_is_given_up_after_time_limits_of_its_own_and_not_for_what_slurm_took(
    stage: str, limits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {
        "scontrol": OF_SLURM.replace("FOLDER", str(tmp_path)),
        # What Slurm ends.
        "sleep": "#!/bin/sh\n",
        # A stage that is told of the time limit.
        "venv/bin/python": "#!/bin/sh\nexit 75\n",
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "jobs of x").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("HERMES_VENV", str(tmp_path / "venv"))
    # Preempted so often: that is nobody's fault.
    monkeypatch.setenv("SLURM_RESTART_COUNT", "9")

    tries = [submitted_from(ROOT, "stage.sbatch", stage, "recipes/smoke.yaml") for _ in range(limits)]

    assert [done.returncode for done in tries] == [75] * (limits - 1) + [2]
    assert all("requeued 1" in done.stdout for done in tries[:-1])
    assert f"time limit 1 of at most {limits} is near" in tries[0].stdout
    assert "requeued" not in tries[-1].stdout
    assert f"{stage} was not finished within {limits} time limits" in tries[-1].stderr
