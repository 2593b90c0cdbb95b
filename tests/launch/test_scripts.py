"""The scripts that start a run: shellcheck has nothing against them, and each says at its head how it is called."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    [*(ROOT / "launch").rglob("*.sh"), *(ROOT / "launch").rglob("*.sbatch"), ROOT / ".ci" / "run"]
)
SETTINGS = ROOT / "launch" / "cluster.env"
STARTED = [path for path in SCRIPTS if path.name != "environment.sh" and path.parent.name != ".ci"]
"""Those that a user or a job calls with arguments; environment.sh is read by them."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def head(path: Path) -> str:
    """The comment at the beginning of a script."""
    lines = []
    for line in path.read_text().splitlines()[1:]:
        if not line.startswith("#") or line.startswith("#SBATCH"):
            break
        lines.append(line.removeprefix("#"))
    return "\n".join(lines)


@pytest.mark.parametrize("path", [*SCRIPTS, SETTINGS], ids=name)
def test_shellcheck_has_nothing_against_it(path: Path) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    command = [str(shellcheck), "--shell=bash", "--external-sources", "--color=never", str(path)]
    # In the checkout: the scripts name each other from there.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.name != "environment.sh"], ids=name)
def test_an_error_ends_the_script(path: Path) -> None:
    assert "\nset -euo pipefail\n" in path.read_text()


@pytest.mark.parametrize("path", STARTED, ids=name)
def test_the_head_names_the_arguments(path: Path) -> None:
    assert re.search(rf"{re.escape(path.name)} [A-Z]{{3,}} [A-Z]{{3,}}", head(path)), head(path)


@pytest.mark.parametrize("path", STARTED, ids=name)
def test_called_without_arguments_it_says_how_it_is_called(path: Path) -> None:
    done = subprocess.run(
        ["bash", str(path)],
        env={"PATH": "/usr/bin:/bin", "HERMES_CHECKOUT": str(ROOT), "SLURM_SUBMIT_DIR": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert path.name in done.stderr, done.stderr
